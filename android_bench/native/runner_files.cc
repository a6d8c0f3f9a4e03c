#include "runner_files.h"

#include <errno.h>
#include <sys/stat.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace larqnets_runner {

void fail(const char* format, ...) {
  char message[8192];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  for (char* c = message; *c != 0; ++c) {
    if (static_cast<unsigned char>(*c) < ' ') *c = ' ';
  }
  std::fprintf(stderr, "larqnets_runner: %s\n", message);
  std::exit(1);
}

Content read_file(const std::string& path) {
  Content content;
  FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) fail("cannot read %s: %s.", path.c_str(), std::strerror(errno));
  struct stat info;
  if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode)) fail("%s is not a file.", path.c_str());
  content.size = static_cast<size_t>(info.st_size);
  content.data.reset(static_cast<uint8_t*>(std::aligned_alloc(64, content.size / 64 * 64 + 64)));
  if (content.data == nullptr) fail("%s does not fit into memory.", path.c_str());
  if (std::fread(content.data.get(), 1, content.size, file) != content.size) {
    fail("cannot read %s: it ends early.", path.c_str());
  }
  std::fclose(file);
  return content;
}

std::string read_line(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return "";
  char line[256] = "";
  if (std::fgets(line, sizeof line, file) == nullptr) line[0] = 0;
  std::fclose(file);
  line[std::strcspn(line, "\n")] = 0;
  return line;
}

}  // namespace larqnets_runner
