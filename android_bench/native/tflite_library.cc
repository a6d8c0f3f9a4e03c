#include "tflite_library.h"

#include <dlfcn.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace larqnets {

namespace {

// The names under which an app has TensorFlow Lite: until LiteRT 1.4, and since.
constexpr const char* kNames[] = {"libtensorflowlite_jni.so", "libLiteRt.so"};

// Looks up functions of a library and remembers the first that is not there.
class Lookup {
 public:
  explicit Lookup(void* handle) : handle_(handle) {}
  template <typename Function>
  void find(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(dlsym(handle_, name));
    if (*function == nullptr && lacking_[0] == 0) std::snprintf(lacking_, sizeof lacking_, "%s", name);
  }
  template <typename Function>
  void find(const char* before, const char* family, const char* after, Function* function) {
    char name[100];
    std::snprintf(name, sizeof name, "%s%s%s", before, family, after);
    find(name, function);
  }
  const char* lacking() const { return lacking_; }

 private:
  void* handle_;
  char lacking_[100] = "";
};

void add_problem(Library* library, const char* format, ...) {
  const size_t length = std::strlen(library->problem);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(library->problem + length, sizeof library->problem - length, format, arguments);
  va_end(arguments);
}

// Whether the library of this name is there and has all functions; else why not.
bool open_library(const char* name, Library* library) {
  void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    add_problem(library, "%s cannot be loaded (%.250s)", name,
                reason == nullptr ? "no reason is given" : reason);
    return false;
  }
  Lookup lookup(handle);
#define FIND(name) lookup.find(#name, &library->name);
  SAME_IN_ALL(FIND)
#undef FIND
  const char* family = "Operator";
  if (dlsym(handle, "TfLiteOperatorCreate") == nullptr) family = "RegistrationExternal";
  lookup.find("TfLite", family, "Create", &library->operator_create);
  lookup.find("TfLite", family, "Delete", &library->operator_delete);
  lookup.find("TfLite", family, "GetBuiltInCode", &library->operator_builtin_code);
  lookup.find("TfLite", family, "SetInit", &library->operator_set_init);
  lookup.find("TfLite", family, "SetFree", &library->operator_set_free);
  lookup.find("TfLite", family, "SetPrepare", &library->operator_set_prepare);
  lookup.find("TfLite", family, "SetInvoke", &library->operator_set_invoke);
  lookup.find("TfLiteInterpreterOptionsAdd", family, "", &library->options_add_operator);
  if (lookup.lacking()[0] != 0) {
    const auto version = library->TfLiteVersion;
    add_problem(library, "%s%s%s lacks %s", name, version == nullptr ? "" : " of version ",
                version == nullptr ? "" : version(), lookup.lacking());
    return false;
  }
  library->handle = handle;
  library->set_log_severity = reinterpret_cast<decltype(library->set_log_severity)>(
      dlsym(handle, "_ZN6tflite16logging_internal13MinimalLogger21SetMinimumLogSeverityENS_11LogSeverityE"));
  return true;
}

Library find_library() {
  Library library;
  add_problem(&library, "This app has no TensorFlow Lite that the Larq ops run on: ");
  for (const char* name : kNames) {
    if (name != kNames[0]) add_problem(&library, "; ");
    if (open_library(name, &library)) {
      library.problem[0] = 0;
      return library;
    }
  }
  add_problem(&library, ". Add com.google.ai.edge.litert:litert:1.4.0 to its dependencies.");
  return library;
}

}  // namespace

const Library& tflite() {
  static const Library library = find_library();
  return library;
}

}  // namespace larqnets
