/* Calls the JNI functions of liblarqnets.so with a JNIEnv of its own, in which there are the few functions that they use; any
   other one ends the program, and so does a call while an exception is pending, as Android's CheckJNI would.

   fake_jni MODEL INPUT: the values of the first input. Prints what is told, and the values of the first output, and returns 0
   when all of it was as it must be. */
#include <dlfcn.h>
#include <jni.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct object {  /* a direct buffer, an array, or a class by its name */
  void *data;
  jlong size;
  const char *name;
};

static char thrown[4200]; /* CLASS: MESSAGE; empty when nothing is pending */
static int classes_missing, arrays_missing;

static void fail(const char *why) {
  printf("FAILED: %s; pending: %s\n", why, thrown);
  exit(1);
}

static void unexpected(void) { fail("a function of the JNIEnv that is not used elsewhere"); }

static void nothing_pending(void) {
  if (thrown[0] != 0) fail("a call while an exception is pending");
}

static jclass find_class(JNIEnv *env, const char *name) {
  (void)env;
  nothing_pending();
  if (classes_missing) {
    strcpy(thrown, "java/lang/NoClassDefFoundError: ");
    return NULL;
  }
  struct object *found = calloc(1, sizeof *found);
  found->name = name;
  return (jclass)found;
}

static jint throw_new(JNIEnv *env, jclass class, const char *message) {
  (void)env;
  nothing_pending();
  for (const char *c = message; *c != 0; ++c)
    if (*c < 0x20 || *c > 0x7e) fail("a message that is not ASCII");
  snprintf(thrown, sizeof thrown, "%s: %s", ((struct object *)class)->name, message);
  return 0;
}

static void *address(JNIEnv *env, jobject buffer) {
  (void)env;
  nothing_pending();
  return ((struct object *)buffer)->data;
}

static jlong capacity(JNIEnv *env, jobject buffer) {
  (void)env;
  nothing_pending();
  return ((struct object *)buffer)->size;
}

static jbyteArray new_bytes(JNIEnv *env, jsize size) {
  (void)env;
  nothing_pending();
  if (arrays_missing) {
    strcpy(thrown, "java/lang/OutOfMemoryError: ");
    return NULL;
  }
  struct object *array = calloc(1, sizeof *array);
  array->data = calloc(1, (size_t)size + 1);
  array->size = size;
  return (jbyteArray)array;
}

static void set_bytes(JNIEnv *env, jbyteArray array, jsize start, jsize size, const jbyte *from) {
  (void)env;
  nothing_pending();
  struct object *to = (struct object *)array;
  if (start < 0 || size < 0 || start + size > to->size) fail("bytes outside of the array");
  memcpy((char *)to->data + start, from, (size_t)size);
}

static void set_longs(JNIEnv *env, jlongArray array, jsize start, jsize size, const jlong *from) {
  (void)env;
  nothing_pending();
  struct object *to = (struct object *)array;
  if (start < 0 || size < 0 || start + size > to->size) fail("longs outside of the array");
  memcpy((jlong *)to->data + start, from, (size_t)size * sizeof(jlong));
}

static const struct JNINativeInterface *environment(void) {
  static union {
    struct JNINativeInterface functions;
    void (*all[sizeof(struct JNINativeInterface) / sizeof(void (*)(void))])(void);
  } table;
  for (size_t i = 0; i < sizeof table.all / sizeof table.all[0]; ++i) table.all[i] = unexpected;
  table.functions.FindClass = find_class;
  table.functions.ThrowNew = throw_new;
  table.functions.GetDirectBufferAddress = address;
  table.functions.GetDirectBufferCapacity = capacity;
  table.functions.NewByteArray = new_bytes;
  table.functions.SetByteArrayRegion = set_bytes;
  table.functions.SetLongArrayRegion = set_longs;
  return &table.functions;
}

static void *function(const char *name) {
  static void *library;
  if (library == NULL) library = dlopen("liblarqnets.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fail(dlerror());
  char full[80];
  snprintf(full, sizeof full, "Java_larqnets_Native_%s", name);
  void *found = dlsym(library, full);
  if (found == NULL) fail(full);
  return found;
}

static struct object read_file(const char *path) {
  struct object content = {NULL, 0, NULL};
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(path);
  fseek(file, 0, SEEK_END);
  content.size = ftell(file);
  rewind(file);
  content.data = aligned_alloc(64, ((size_t)content.size + 63) / 64 * 64);
  if (fread(content.data, 1, (size_t)content.size, file) != (size_t)content.size) fail(path);
  fclose(file);
  return content;
}

/* Prints the exception that must be pending, and clears it. */
static void told(const char *class, const char *words) {
  if (strncmp(thrown, class, strlen(class)) != 0 || strstr(thrown, words) == NULL) fail(words);
  printf("%s\n", thrown);
  thrown[0] = 0;
}

#define ARGUMENT "java/lang/IllegalArgumentException: "
#define STATE "java/lang/IllegalStateException: "

int main(int count, char **arguments) {
  if (count != 3) return 2;
  const struct JNINativeInterface *functions = environment();
  JNIEnv *env = (JNIEnv *)&functions;
  jlong (*create)(JNIEnv *, jclass, jobject, jint, jint, jint, jboolean, jboolean) = function("create");
  void (*destroy)(JNIEnv *, jclass, jlong) = function("destroy");
  jint (*count_of)(JNIEnv *, jclass, jlong, jboolean) = function("count");
  jbyteArray (*tensor)(JNIEnv *, jclass, jlong, jboolean, jint, jlongArray) = function("tensor");
  void (*set_input)(JNIEnv *, jclass, jlong, jint, jobject, jint, jint) = function("setInput");
  void (*invoke)(JNIEnv *, jclass, jlong) = function("invoke");
  void (*get_output)(JNIEnv *, jclass, jlong, jint, jobject, jint, jint) = function("getOutput");
  jbyteArray (*about)(JNIEnv *, jclass, jint) = function("about");

  for (jint i = 0; i < 3; ++i) printf("%s\n", (char *)((struct object *)about(env, NULL, i))->data);

  struct object file = read_file(arguments[1]), input = read_file(arguments[2]), broken = {calloc(64, 1), 64, NULL};
  const jint size = (jint)file.size, bytes = (jint)input.size;
  if (create(env, NULL, (jobject)&broken, 0, 64, 1, 1, 0) != 0) fail("a model of zeros");
  told(ARGUMENT, "TFL3");
  if (create(env, NULL, (jobject)&file, 1, size, 1, 1, 0) != 0) fail("a model beyond its buffer");
  told(ARGUMENT, "does not have");
  if (create(env, NULL, NULL, 0, size, 1, 1, 0) != 0) fail("no buffer");
  told(ARGUMENT, "does not have");
  if (create(env, NULL, (jobject)&file, 0, size, 0, 1, 0) != 0) fail("no thread");
  told(ARGUMENT, "threads");
  classes_missing = 1;
  if (create(env, NULL, (jobject)&broken, 0, 64, 1, 1, 0) != 0) fail("a model of zeros");
  told("java/lang/NoClassDefFoundError", "");
  classes_missing = 0;
  /* A file cut off: TensorFlow Lite's own sentence. */
  if (create(env, NULL, (jobject)&file, 0, size / 2, 1, 1, 0) != 0) fail("half a model");
  told(ARGUMENT, "");

  const jlong model = create(env, NULL, (jobject)&file, 0, size, 2, 1, 0);
  if (model == 0) fail("the model");
  if (count_of(env, NULL, model, 0) != 1) fail("inputs");
  const jint outputs = count_of(env, NULL, model, 1);
  jlong facts[13] = {0};
  struct object longs = {facts, 13, NULL};
  struct object *name = (struct object *)tensor(env, NULL, model, 0, 0, (jlongArray)&longs);
  printf("%s %lld x %lld\n", (char *)name->data, (long long)facts[0], (long long)facts[2]);
  arrays_missing = 1;
  if (tensor(env, NULL, model, 0, 0, (jlongArray)&longs) != NULL) fail("no memory for a name");
  told("java/lang/OutOfMemoryError", "");
  arrays_missing = 0;
  if (tensor(env, NULL, model, 1, outputs, (jlongArray)&longs) != NULL) fail("one output more");
  told(ARGUMENT, "no such tensor");

  set_input(env, NULL, model, 0, (jobject)&input, 0, bytes - 4);
  told(ARGUMENT, "another size");
  set_input(env, NULL, model, 0, (jobject)&input, 4, bytes);
  told(ARGUMENT, "does not have");
  set_input(env, NULL, model, 0, (jobject)&input, 0, bytes);
  invoke(env, NULL, model);
  nothing_pending();
  tensor(env, NULL, model, 1, 0, (jlongArray)&longs);
  struct object output = {calloc(1, (size_t)facts[2]), facts[2], NULL};
  get_output(env, NULL, model, 0, (jobject)&output, 0, (jint)facts[2] - 1);
  told(STATE, "another size");
  get_output(env, NULL, model, 0, (jobject)&output, 0, (jint)facts[2]);
  nothing_pending();
  destroy(env, NULL, model);
  nothing_pending();
  for (jlong i = 0; i < facts[2] / 4; ++i) printf("%.9g\n", (double)((float *)output.data)[i]);
  return 0;
}
