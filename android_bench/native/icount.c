// A plugin for qemu-aarch64: counts executed instructions per region that the program marks (mark.h).
//
//   cc -O2 -fPIC -shared -o libicount.so icount.c
//   qemu-aarch64 -cpu cortex-a72 -plugin libicount.so,out=FILE PROGRAM
//
// Writes lines "region instructions simd loads_stores": all instructions, those of the group "data
// processing, SIMD and floating point", those of the group "loads and stores" (of any register). Exact and
// repeatable with one thread; counters are added to without locks. The declarations are those of qemu's
// plugin interface, version 1.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_info {
  const char* target_name;
  struct {
    int min, cur;
  } version;
};
struct block;
struct instruction;
enum { ADD_U64 = 0 };

typedef void (*translate_callback)(plugin_id, struct block*);
typedef void (*exit_callback)(plugin_id, void*);
typedef void (*syscall_callback)(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translate_callback);
void qemu_plugin_register_vcpu_tb_exec_inline(struct block*, int operation, void* counter, uint64_t value);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_callback);
void qemu_plugin_register_atexit_cb(plugin_id, exit_callback, void* data);
size_t qemu_plugin_tb_n_insns(const struct block*);
struct instruction* qemu_plugin_tb_get_insn(const struct block*, size_t index);
const void* qemu_plugin_insn_data(const struct instruction*);

EXPORT int qemu_plugin_version = 1;

enum { kMarkSyscall = 0x4c51, kRegions = 4096 };
enum { kAll, kSimd, kLoadsStores, kKinds };

static uint64_t now[kKinds];      // since the start
static uint64_t entered[kKinds];  // when the current region began
static uint64_t counts[kRegions][kKinds];
static unsigned region;
static char out_path[4096];

static void leave_region(void) {
  for (int kind = 0; kind < kKinds; ++kind) {
    counts[region][kind] += now[kind] - entered[kind];
    entered[kind] = now[kind];
  }
}

// A system call ends its block, so the counters stand right after it.
static void on_syscall(plugin_id id, unsigned cpu, int64_t number, uint64_t to, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != kMarkSyscall) return;
  leave_region();
  region = to < kRegions ? (unsigned)to : 0;
}

static void on_block(plugin_id id, struct block* block) {
  (void)id;
  uint64_t kinds[kKinds] = {qemu_plugin_tb_n_insns(block)};
  for (size_t i = 0; i < kinds[kAll]; ++i) {
    uint32_t code;
    memcpy(&code, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), 4);
    const uint32_t group = code >> 25 & 15;  // the main encoding of A64
    kinds[kSimd] += (group & 7) == 7;
    kinds[kLoadsStores] += (group & 5) == 4;
  }
  for (int kind = 0; kind < kKinds; ++kind) {
    if (kinds[kind]) qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &now[kind], kinds[kind]);
  }
}

static void on_exit(plugin_id id, void* data) {
  (void)id, (void)data;
  leave_region();
  FILE* file = fopen(out_path, "w");
  if (!file) return;
  for (int i = 0; i < kRegions; ++i) {
    if (!counts[i][kAll]) continue;
    fprintf(file, "%d %llu %llu %llu\n", i, (unsigned long long)counts[i][kAll],
            (unsigned long long)counts[i][kSimd], (unsigned long long)counts[i][kLoadsStores]);
  }
  fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info* info, int argc, char** argv) {
  if (info->version.cur < 1 || strcmp(info->target_name, "aarch64") != 0) return -1;
  if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || strlen(argv[0] + 4) >= sizeof out_path) return -1;
  strcpy(out_path, argv[0] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  qemu_plugin_register_atexit_cb(id, on_exit, NULL);
  return 0;
}
