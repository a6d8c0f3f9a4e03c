/* Android's C library over glibc, as far as TensorFlow Lite for Android and our library for apps call it, so that both run on
   Linux: one file that stands in for libc.so, libdl.so, libm.so and liblog.so. Preloaded, for where both have a function of one
   name that differs. The libraries must not ask for versions of symbols (app_guest.unversioned). */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Android's stack protector reads its value at 40 bytes behind the thread pointer. On ARM64 glibc has the first library's thread
   locals there: these, which nobody writes. */
_Alignas(16) _Thread_local char larqnets_guard[64] __attribute__((used));

/* So that glibc's library of mathematics is loaded with this. */
double (*larqnets_needs)(double) = erf;

char __sF[3 * 152]; /* stdin, stdout and stderr of Android before 6, of which only the addresses are used */

int *__errno(void) { return &errno; }

void android_set_abort_message(const char *message) { fprintf(stderr, "%s\n", message); }

int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
  if (getenv("LARQNETS_SHIM_LOG") == NULL) return 0;
  (void)priority;
  fprintf(stderr, "%s: ", tag);
  vfprintf(stderr, format, arguments);
  return fputc('\n', stderr);
}

int __system_property_get(const char *name, char *value) {
  (void)name;
  value[0] = 0;
  return 0;
}

size_t __strlen_chk(const char *s, size_t size) {
  size_t length = strlen(s);
  if (length >= size) abort();
  return length;
}

/* glibc's returns the text. */
extern int __xpg_strerror_r(int, char *, size_t);
int larqnets_strerror_r(int number, char *text, size_t size) __asm__("strerror_r");
int larqnets_strerror_r(int number, char *text, size_t size) { return __xpg_strerror_r(number, text, size); }

/* Memory of which no piece may be larger than LARQNETS_SHIM_LARGEST bytes, for operator new of our library. */
extern void *__libc_malloc(size_t);
void *malloc(size_t size) {
  const char *largest = getenv("LARQNETS_SHIM_LARGEST");
  if (largest == NULL || size <= strtoul(largest, NULL, 10)) return __libc_malloc(size);
  errno = ENOMEM;
  return NULL;
}

/* Android has other numbers: 39 and 40 are the size of a page, 96 and 97 the number of cores. */
long larqnets_sysconf(int name) __asm__("sysconf");
long larqnets_sysconf(int name) {
  switch (name) {
    case 39:
    case 40: return getpagesize();
    case 96:
    case 97: return 4;
    default: return -1;
  }
}
