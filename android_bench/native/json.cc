#include "json.h"

#include <cinttypes>
#include <cstdio>

namespace larqnets_runner {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') {
      char escape[8];  // each byte by itself: names that are not ASCII come out as Latin-1
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned char>(c));
      result += escape;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string object(const Fields& fields) {
  std::string result = "{";
  for (const auto& [name, value] : fields)
    result += (result.size() > 1 ? ", " : "") + quoted(name) + ": " + value;
  return result + "}";
}

std::string list(const std::vector<std::string>& items) {
  std::string result = "[";
  for (const std::string& item : items) result += (result.size() > 1 ? ", " : "") + item;
  return result + "]";
}

std::string milliseconds(uint64_t ns) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6f", static_cast<double>(ns) / 1e6);
  return text;
}

std::string hexadecimal(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%" PRIx64, value);
  return text;
}

}  // namespace larqnets_runner
