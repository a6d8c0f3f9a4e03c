// The inner loop of LceBconv2d on ARMv8.0: 8 channels x 8, 4, 2 or 1 pixels. In assembly, as compilers spill.
//
// A pixel and 128 bits take 24 vector instructions: 8 EOR with the 8 channels' weights, 8 CNT, and a tree of
// 7 ADDP that adds neighbouring bytes, so that lanes 2c and 2c+1 of its result belong to channel c (no lane
// exceeds 64), and one UADALP adds them to the pixel's eight 16-bit sums. 8 pixels: 192 of those, 8 LDP and 2
// for the loop are 202 instructions per 8192 products.
//
//   v0..v7    weights, record by record; loaded for the next record when the last pixel has used them
//   v8, v9    two pixels' activations
//   v10..v23  temporaries: an even pixel counts in v10..v17 and halves to v10..v13, an odd one counts in
//             v16..v23 and halves to v20..v23: one pixel's tree ends while the next pixel's bits are counted
//   the rest  sums, chosen by the compiler
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace larqnets {

// clang-format off
#define EOR(d, a, b) "eor v" #d ".16b, v" #a ".16b, v" #b ".16b\n"
#define CNT(d) "cnt v" #d ".16b, v" #d ".16b\n"
#define ADDP(d, a, b) "addp v" #d ".16b, v" #a ".16b, v" #b ".16b\n"
#define UADALP(sum, a) "uadalp %[s" #sum "].8h, v" #a ".16b\n"

// Counts one pixel's bits and halves them once; t1..t4 are the rest of the tree of the pixel before it.
#define EVEN(x, t1, t2, t3, t4)                                                                             \
  EOR(10, x, 0) EOR(11, x, 1) EOR(12, x, 2) EOR(13, x, 3)  CNT(10) CNT(11)                                  \
  t1  EOR(14, x, 4) EOR(15, x, 5)                          CNT(12) CNT(13)                                  \
  t2  EOR(16, x, 6) EOR(17, x, 7)  ADDP(10, 10, 11)        CNT(14) CNT(15)                                  \
  t3                               ADDP(11, 12, 13)        CNT(16) CNT(17)                                  \
  t4                               ADDP(12, 14, 15) ADDP(13, 16, 17)
// The same from the other end of the temporaries; both pixels' activations are used up when LOAD loads more.
#define ODD(x, LOAD, t1, t2, t3, t4)                                                                        \
  EOR(23, x, 7) EOR(22, x, 6) EOR(21, x, 5) EOR(20, x, 4)  CNT(23) CNT(22)                                  \
  t1  EOR(19, x, 3) EOR(18, x, 2)                          CNT(21) CNT(20)                                  \
  t2  EOR(17, x, 1) EOR(16, x, 0)  LOAD ADDP(23, 22, 23)   CNT(19) CNT(18)                                  \
  t3                               ADDP(22, 20, 21)        CNT(17) CNT(16)                                  \
  t4                               ADDP(21, 18, 19) ADDP(20, 16, 17)
#define EVEN_TREE(sum) ADDP(10, 10, 11), ADDP(12, 12, 13), ADDP(10, 10, 12), UADALP(sum, 10)
#define ODD_TREE(sum) ADDP(20, 20, 21), ADDP(22, 22, 23), ADDP(20, 20, 22), UADALP(sum, 20)
#define NOTHING "", "", "", ""
#define CALL(macro, ...) macro(__VA_ARGS__)  // so that a tree counts as four arguments
#define IN_ORDER(t1, t2, t3, t4) t1 t2 t3 t4

// Two pixels whose activations are loaded, the first with sum `even`; `before` ends the pixel before them.
#define PAIR(before, LOAD, even) CALL(EVEN, 8, before) CALL(ODD, 9, LOAD, EVEN_TREE(even))

#define OTHER_WEIGHTS "ldp q2, q3, [%[w], #32]\n" "ldp q4, q5, [%[w], #64]\n" "ldp q6, q7, [%[w], #96]\n"
#define FIRST_WEIGHTS "ldp q0, q1, [%[w]]\n" OTHER_WEIGHTS
#define NEXT_WEIGHTS "ldp q0, q1, [%[w], #128]!\n" OTHER_WEIGHTS
#define PIXELS(offset) "ldp q8, q9, [%[x], #" #offset "]\n"
#define NEXT_RECORD(bytes) "ldp q8, q9, [%[x], #" #bytes "]!\n"
#define WHOLE_RECORDS(body)                                                                                 \
  "cbz %[n], 2f\n"                                                                                          \
  "1:\n" body "subs %[n], %[n], #1\n" "b.ne 1b\n"                                                           \
  "2:\n"

// What is left of the depth: 64 bits of two channels per register, then 32 bits of four channels. The weights
// are already in v0..v3 and v4, v5. A pixel's activations are repeated in all lanes; a..d are temporaries.
#define REST64(sum, x, a, b, c, d)                                                                          \
  "ld1r {v" #x ".2d}, [%[x]], %[record]\n"                                                                  \
  EOR(a, x, 0) EOR(b, x, 1) EOR(c, x, 2) EOR(d, x, 3)  CNT(a) CNT(b) CNT(c) CNT(d)                          \
  ADDP(a, a, b) ADDP(c, c, d)  ADDP(a, a, c)  UADALP(sum, a)
#define REST32(sum, x, a, b)                                                                                \
  "ld1r {v" #x ".4s}, [%[y]], %[record]\n"                                                                  \
  EOR(a, x, 4) EOR(b, x, 5)  CNT(a) CNT(b)  ADDP(a, a, b)  UADALP(sum, a)
#define REST64_2(s, t) REST64(s, 8, 10, 11, 12, 13) REST64(t, 9, 14, 15, 16, 17)
#define REST32_2(s, t) REST32(s, 8, 10, 11) REST32(t, 9, 12, 13)
#define REST(pixels64, pixels32)                                                                            \
  "add %[y], %[x], #8\n"                                                                                    \
  "tbz %w[rest], #0, 3f\n" pixels64                                                                         \
  "3:\n"                                                                                                    \
  "tbz %w[rest], #1, 4f\n" pixels32                                                                         \
  "4:\n"

#define OPERANDS [w] "+r"(w), [x] "+r"(x), [n] "+r"(n), [y] "=&r"(y)
#define INPUTS [rest] "r"(rest), [record] "r"(size_t{16})
#define REGISTERS                                                                                           \
  "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",     \
  "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "cc", "memory"

// Adds to sums[pixel] the number of bits that differ: n whole records, then a rest of 64 bits (rest & 1) and
// one of 32 (rest & 2). Reads up to 128 bytes past the end of w and 32 past the end of x.
template <int kPixels>
inline void count(const uint8_t* w, const uint8_t* x, size_t n, int rest, uint16x8_t (&sums)[kPixels]);

template <>
inline void count<8>(const uint8_t* w, const uint8_t* x, size_t n, int rest, uint16x8_t (&sums)[8]) {
  const uint8_t* y;
  asm volatile(FIRST_WEIGHTS PIXELS(0)
               WHOLE_RECORDS(PAIR(NOTHING, PIXELS(32), 0) PAIR(ODD_TREE(1), PIXELS(64), 2)
                             PAIR(ODD_TREE(3), PIXELS(96), 4) PAIR(ODD_TREE(5), NEXT_RECORD(128), 6)
                             NEXT_WEIGHTS CALL(IN_ORDER, ODD_TREE(7)))
               REST(REST64_2(0, 1) REST64_2(2, 3) REST64_2(4, 5) REST64_2(6, 7),
                    REST32_2(0, 1) REST32_2(2, 3) REST32_2(4, 5) REST32_2(6, 7))
               : OPERANDS, [s0] "+w"(sums[0]), [s1] "+w"(sums[1]), [s2] "+w"(sums[2]), [s3] "+w"(sums[3]),
                 [s4] "+w"(sums[4]), [s5] "+w"(sums[5]), [s6] "+w"(sums[6]), [s7] "+w"(sums[7])
               : INPUTS
               : REGISTERS);
}

template <>
inline void count<4>(const uint8_t* w, const uint8_t* x, size_t n, int rest, uint16x8_t (&sums)[4]) {
  const uint8_t* y;
  asm volatile(FIRST_WEIGHTS PIXELS(0)
               WHOLE_RECORDS(PAIR(NOTHING, PIXELS(32), 0) PAIR(ODD_TREE(1), NEXT_RECORD(64), 2)
                             NEXT_WEIGHTS CALL(IN_ORDER, ODD_TREE(3)))
               REST(REST64_2(0, 1) REST64_2(2, 3), REST32_2(0, 1) REST32_2(2, 3))
               : OPERANDS, [s0] "+w"(sums[0]), [s1] "+w"(sums[1]), [s2] "+w"(sums[2]), [s3] "+w"(sums[3])
               : INPUTS
               : REGISTERS);
}

template <>
inline void count<2>(const uint8_t* w, const uint8_t* x, size_t n, int rest, uint16x8_t (&sums)[2]) {
  const uint8_t* y;
  asm volatile(FIRST_WEIGHTS PIXELS(0)
               WHOLE_RECORDS(PAIR(NOTHING, NEXT_RECORD(32), 0) NEXT_WEIGHTS CALL(IN_ORDER, ODD_TREE(1)))
               REST(REST64_2(0, 1), REST32_2(0, 1))
               : OPERANDS, [s0] "+w"(sums[0]), [s1] "+w"(sums[1])
               : INPUTS
               : REGISTERS);
}

template <>
inline void count<1>(const uint8_t* w, const uint8_t* x, size_t n, int rest, uint16x8_t (&sums)[1]) {
  const uint8_t* y;
  asm volatile(FIRST_WEIGHTS "ldr q8, [%[x]]\n"
               WHOLE_RECORDS(CALL(EVEN, 8, NOTHING) "ldr q8, [%[x], #16]!\n" NEXT_WEIGHTS
                             CALL(IN_ORDER, EVEN_TREE(0)))
               REST(REST64(0, 8, 10, 11, 12, 13), REST32(0, 8, 10, 11))
               : OPERANDS, [s0] "+w"(sums[0])
               : INPUTS
               : REGISTERS);
}

#undef EOR
#undef CNT
#undef ADDP
#undef UADALP
#undef EVEN
#undef ODD
#undef EVEN_TREE
#undef ODD_TREE
#undef CALL
#undef IN_ORDER
#undef NOTHING
#undef PAIR
#undef FIRST_WEIGHTS
#undef NEXT_WEIGHTS
#undef OTHER_WEIGHTS
#undef PIXELS
#undef NEXT_RECORD
#undef WHOLE_RECORDS
#undef REST64
#undef REST32
#undef REST
#undef REST64_2
#undef REST32_2
#undef REGISTERS
#undef OPERANDS
#undef INPUTS
// clang-format on

}  // namespace larqnets
