// The natives of larqnets.Native (android_bench/java) over the C interface of larqnets.h.
//
// What fails becomes an IllegalArgumentException or IllegalStateException with the library's sentence; no
// exception of C++ leaves. Java looks after which models are alive and which thread uses them; that a buffer has
// the room that is said is looked at here too, since what lies behind it is not Java's.
#include <jni.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "larqnets.h"

namespace {

constexpr char kArgument[] = "java/lang/IllegalArgumentException";
constexpr char kState[] = "java/lang/IllegalStateException";
constexpr char kOutside[] = "A part of a buffer was asked for that it does not have.";

// What Native.tensor says, by place.
enum {
  kType,
  kRank,
  kBytes,
  kZeroPoint,
  kScaleBits,
  kFirstDimension,
  kFacts = kFirstDimension + LARQNETS_MAX_RANK
};

// Java reads "modified UTF-8" here and stops the process at other bytes, which a file's names may have. Some
// sentences of TensorFlow Lite lack their full stop.
void throw_java(JNIEnv* env, const char* kind, const char* sentence) {
  char ascii[4096];
  const size_t size = std::strlen(sentence);
  std::snprintf(ascii, sizeof ascii, size > 0 && sentence[size - 1] == '.' ? "%s" : "%s.", sentence);
  for (char* c = ascii; *c != 0; ++c) {
    if (*c < 0x20 || *c > 0x7E) *c = '?';
  }
  const jclass found = env->FindClass(kind);
  if (found != nullptr) env->ThrowNew(found, ascii);  // else FindClass has thrown
}

// Returns what `act` does, and a zero after an exception, which Java then has one of.
template <typename Act>
auto guarded(JNIEnv* env, Act act) -> decltype(act()) {
  try {
    return act();
  } catch (const std::exception& error) {
    throw_java(env, kState, (std::string("The library failed: ") + error.what() + ".").c_str());
  } catch (...) {
    throw_java(env, kState, "The library failed.");
  }
  return decltype(act())();
}

larqnets_model* model_of(jlong handle) {
  return reinterpret_cast<larqnets_model*>(static_cast<intptr_t>(handle));
}

// Returns where `size` bytes of a direct buffer from `offset` on lie; null, and an exception, where there are
// fewer.
void* part_of(JNIEnv* env, jobject buffer, jint offset, jint size) {
  auto* start = static_cast<char*>(buffer == nullptr ? nullptr : env->GetDirectBufferAddress(buffer));
  const jlong capacity = start == nullptr ? -1 : env->GetDirectBufferCapacity(buffer);
  if (offset < 0 || size < 0 || jlong{offset} + size > capacity) {
    throw_java(env, kArgument, kOutside);
    return nullptr;
  }
  return start + offset;
}

jbyteArray bytes_of(JNIEnv* env, const char* text) {
  const auto size = static_cast<jsize>(std::strlen(text));
  const jbyteArray bytes = env->NewByteArray(size);
  if (bytes != nullptr) env->SetByteArrayRegion(bytes, 0, size, reinterpret_cast<const jbyte*>(text));
  return bytes;
}

}  // namespace

#define NATIVE(result, name) extern "C" JNIEXPORT result JNICALL Java_larqnets_Native_##name  // NOLINT

NATIVE(jlong, create)
(JNIEnv* env, jclass, jobject file, jint offset, jint size, jint threads, jboolean xnnpack,
 jboolean low_memory) {
  return guarded(env, [&]() -> jlong {
    const void* bytes = part_of(env, file, offset, size);
    if (bytes == nullptr) return 0;
    larqnets_options options = {};
    options.threads = threads;
    options.xnnpack = xnnpack ? 1 : 0;
    options.low_memory = low_memory ? 1 : 0;
    char error[4096] = "";
    larqnets_model* model = larqnets_create(bytes, static_cast<size_t>(size), &options, error, sizeof error);
    // Without TensorFlow Lite it is not the file that is wrong.
    if (model == nullptr) throw_java(env, larqnets_tflite_version() == nullptr ? kState : kArgument, error);
    return static_cast<jlong>(reinterpret_cast<intptr_t>(model));
  });
}

NATIVE(void, destroy)(JNIEnv* env, jclass, jlong handle) {
  guarded(env, [&] { larqnets_destroy(model_of(handle)); });
}

NATIVE(jint, count)(JNIEnv* env, jclass, jlong handle, jboolean output) {
  return guarded(env, [&]() -> jint {
    return output ? larqnets_num_outputs(model_of(handle)) : larqnets_num_inputs(model_of(handle));
  });
}

NATIVE(jbyteArray, tensor)
(JNIEnv* env, jclass, jlong handle, jboolean output, jint index, jlongArray facts) {
  return guarded(env, [&]() -> jbyteArray {
    larqnets_model* model = model_of(handle);
    larqnets_tensor tensor = {};
    if ((output ? larqnets_output : larqnets_input)(model, index, &tensor) != 0) {
      throw_java(env, kArgument, larqnets_error(model));
      return nullptr;
    }
    jlong said[kFacts] = {};
    said[kType] = tensor.type;
    said[kRank] = tensor.rank;
    said[kBytes] = static_cast<jlong>(tensor.bytes);
    said[kZeroPoint] = tensor.zero_point;
    int32_t scale;
    std::memcpy(&scale, &tensor.scale, sizeof scale);
    said[kScaleBits] = scale;
    for (int32_t i = 0; i < tensor.rank; ++i) said[kFirstDimension + i] = tensor.dims[i];
    env->SetLongArrayRegion(facts, 0, kFacts, said);
    return bytes_of(env, tensor.name);
  });
}

NATIVE(void, setInput)
(JNIEnv* env, jclass, jlong handle, jint index, jobject values, jint offset, jint size) {
  guarded(env, [&] {
    larqnets_model* model = model_of(handle);
    const void* bytes = part_of(env, values, offset, size);
    if (bytes != nullptr && larqnets_set_input(model, index, bytes, static_cast<size_t>(size)) != 0) {
      throw_java(env, kArgument, larqnets_error(model));
    }
  });
}

NATIVE(void, invoke)(JNIEnv* env, jclass, jlong handle) {
  guarded(env, [&] {
    larqnets_model* model = model_of(handle);
    if (larqnets_invoke(model) != 0) throw_java(env, kState, larqnets_error(model));
  });
}

NATIVE(void, getOutput)
(JNIEnv* env, jclass, jlong handle, jint index, jobject values, jint offset, jint size) {
  guarded(env, [&] {
    larqnets_model* model = model_of(handle);
    void* bytes = part_of(env, values, offset, size);
    if (bytes != nullptr && larqnets_get_output(model, index, bytes, static_cast<size_t>(size)) != 0) {
      throw_java(env, kState, larqnets_error(model));  // an op gave it another size than the file says
    }
  });
}

NATIVE(jbyteArray, about)(JNIEnv* env, jclass, jint what) {
  return guarded(env, [&]() -> jbyteArray {
    const char* text = what == 0   ? larqnets_version()
                       : what == 1 ? larqnets_tflite_version()
                                   : larqnets_kernels();
    if (text == nullptr) {
      throw_java(env, kState,
                 "This app has no TensorFlow Lite that serves; making an Interpreter says what to add.");
      return nullptr;
    }
    return bytes_of(env, text);
  });
}
