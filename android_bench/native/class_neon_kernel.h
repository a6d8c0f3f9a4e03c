// The inner loop of class sums on ARMv8.0: the bits of one class in 128 pixels, or in two times 128. In
// assembly, as compilers spill.
//
// The bits of a pixel are counted in planes: plane i holds bit i of 128 counters. A full adder of three
// vectors takes three instructions and no further register,
//   y = u EOR y,  u = BIT(u, p, y),  p = p EOR y
// after which p is the sum and u what is carried. Two positions and plane 0 give a carry for plane 1, two of
// those and plane 1 one for plane 2, and so on. The positions of a list go in runs of 1, 2, 4, ... 64, those
// that its length is the sum of: a run of 2^i ends in a carry for plane i, which nothing has been added to,
// so that no carry ever has to travel. A list of n takes about 3 n vector instructions, and 2.25 n others for
// two vectors: a load of two offsets twice, an addition and a load each.
//
//   v0..v13   planes 0..6 of both vectors, first vector first
//   v14..v23  carries that wait for a second one; plane 0's, 1's, 2's, 3's, 4's
//   v24, v25  the second position of a pair
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace larqnets {

// clang-format off
#define EOR(d, a, b) "eor v" #d ".16b, v" #a ".16b, v" #b ".16b\n"
#define BIC(d, a, b) "bic v" #d ".16b, v" #a ".16b, v" #b ".16b\n"
#define BIT(d, a, m) "bit v" #d ".16b, v" #a ".16b, v" #m ".16b\n"
#define BIF(d, a, m) "bif v" #d ".16b, v" #a ".16b, v" #m ".16b\n"
#define ZERO(d) "movi v" #d ".16b, #0\n"

// What one vector and two differ in.
#define LOAD_2(a, b) "ldp q" #a ", q" #b ", [%[at]]\n"
#define LOAD_1(a, b) "ldr q" #a ", [%[at]]\n"
#define ADD_2(p0, p1, u0, u1, y0, y1)                                                                       \
  EOR(y0, u0, y0) EOR(y1, u1, y1) BIT(u0, p0, y0) BIT(u1, p1, y1) EOR(p0, p0, y0) EOR(p1, p1, y1)
#define ADD_1(p0, p1, u0, u1, y0, y1) EOR(y0, u0, y0) BIT(u0, p0, y0) EOR(p0, p0, y0)
#define ZERO_2(a, b) ZERO(a) ZERO(b)
#define ZERO_1(a, b) ZERO(a)
#define STORE_2(a, b, offset) "stp q" #a ", q" #b ", [%[kept], #" #offset "]\n"
#define STORE_1(a, b, offset) "str q" #a ", [%[kept], #" #offset "]\n"
#define AGAIN_2(a, b, offset) "ldp q" #a ", q" #b ", [%[kept], #" #offset "]\n"
#define AGAIN_1(a, b, offset) "ldr q" #a ", [%[kept], #" #offset "]\n"
// Plane a less plane b with borrow c: the difference in a, the borrow of the next plane in b.
#define LESS(a, b, c) EOR(a, a, b) BIF(b, c, a) EOR(a, a, c)
#define LESS_2(a0, a1, b0, b1, c0, c1) LESS(a0, b0, c0) LESS(a1, b1, c1)
#define LESS_1(a0, a1, b0, b1, c0, c1) LESS(a0, b0, c0)
#define COPY(a, b) "mov v" #a ".16b, v" #b ".16b\n"
#define COPY_2(a0, a1, b0, b1) COPY(a0, b0) COPY(a1, b1)
#define COPY_1(a0, a1, b0, b1) COPY(a0, b0)
#define FIRST_LESS(a, b, t) EOR(t, a, b) BIC(b, b, a) COPY(a, t)
#define FIRST_LESS_2(a0, a1, b0, b1) FIRST_LESS(a0, b0, 26) FIRST_LESS(a1, b1, 26)
#define FIRST_LESS_1(a0, a1, b0, b1) FIRST_LESS(a0, b0, 26)

// Where the plane of the position in the low and the high half of a word lies: positions are byte offsets, or
// sixteenths.
#define BYTES_LOW(word) "add %[at], %[planes], %w[" #word "], uxth\n"
#define BYTES_HIGH(word) "add %[at], %[planes], %[" #word "], lsr #16\n"
#define SIXTEENTHS_LOW(word) "add %[at], %[planes], %w[" #word "], uxth #4\n"
#define SIXTEENTHS_HIGH(word)                                                                               \
  "lsr %[" #word "], %[" #word "], #16\n" "add %[at], %[planes], %[" #word "], lsl #4\n"

// Two, four, ... positions; the carry goes to (r0, r1). P: where positions lie, L: load, A: adder.
#define PAIR(P, L, A, r0, r1, word) P##_LOW(word) L(r0, r1) P##_HIGH(word) L(24, 25) A(0, 1, r0, r1, 24, 25)
#define RUN2(P, L, A, r0, r1) "ldr %w[two], [%[list]], #4\n" PAIR(P, L, A, r0, r1, two)
#define RUN4(P, L, A, r0, r1)                                                                               \
  "ldp %w[two], %w[others], [%[list]], #8\n"                                                                \
  PAIR(P, L, A, r0, r1, two) PAIR(P, L, A, 14, 15, others) A(2, 3, r0, r1, 14, 15)
#define RUN8(P, L, A, r0, r1) RUN4(P, L, A, r0, r1) RUN4(P, L, A, 16, 17) A(4, 5, r0, r1, 16, 17)
#define RUN16(P, L, A, r0, r1) RUN8(P, L, A, r0, r1) RUN8(P, L, A, 18, 19) A(6, 7, r0, r1, 18, 19)
#define RUN32(P, L, A, r0, r1) RUN16(P, L, A, r0, r1) RUN16(P, L, A, 20, 21) A(8, 9, r0, r1, 20, 21)
#define RUN64(P, L, A, r0, r1) RUN32(P, L, A, r0, r1) RUN32(P, L, A, 22, 23) A(10, 11, r0, r1, 22, 23)
#define RUN1(P, L, A, r0, r1) "ldrh %w[two], [%[list]], #2\n" P##_LOW(two) L(r0, r1)
#define WHERE(bit, Z, r0, r1, run)                                                                          \
  "tbz %w[n], #" #bit ", 2f\n" run "b 3f\n" "2:\n" Z(r0, r1) "3:\n"

// The planes of a list of `n`: of at most 63, and of at most 127.
#define COUNT_63(P, L, A, Z)                                                                                \
  WHERE(0, Z, 0, 1, RUN1(P, L, A, 0, 1)) WHERE(1, Z, 2, 3, RUN2(P, L, A, 2, 3))                             \
  WHERE(2, Z, 4, 5, RUN4(P, L, A, 4, 5)) WHERE(3, Z, 6, 7, RUN8(P, L, A, 6, 7))                             \
  WHERE(4, Z, 8, 9, RUN16(P, L, A, 8, 9)) WHERE(5, Z, 10, 11, RUN32(P, L, A, 10, 11))
#define COUNT_127(P, L, A, Z) COUNT_63(P, L, A, Z) WHERE(6, Z, 12, 13, RUN64(P, L, A, 12, 13))

// Counts the list to be subtracted, keeps its planes, counts the other one, and subtracts: planes 0..5 of the
// difference in v0..v11, and the borrow of plane 6.
#define DIFFERENCE(COUNT, KEEP, AGAIN, FIRST_LESS, LESS)                                                    \
  "1:\n" COUNT                                                                                              \
  "tbnz %w[more_n], #31, 4f\n" KEEP                                                                         \
  "mov %w[n], %w[more_n]\n" "mov %w[more_n], #-1\n" "b 1b\n"                                                \
  "4:\n"                                                                                                    \
  AGAIN(14, 15, 0) AGAIN(16, 17, 32) AGAIN(18, 19, 64) AGAIN(20, 21, 96)                                    \
  FIRST_LESS(0, 1, 14, 15) LESS(2, 3, 16, 17, 14, 15) LESS(4, 5, 18, 19, 16, 17) LESS(6, 7, 20, 21, 18, 19) \
  AGAIN(22, 23, 128) LESS(8, 9, 22, 23, 20, 21) AGAIN(24, 25, 160) LESS(10, 11, 24, 25, 22, 23)
#define KEEP_63(S) S(0, 1, 0) S(2, 3, 32) S(4, 5, 64) S(6, 7, 96) S(8, 9, 128) S(10, 11, 160)
#define KEEP_127(S) KEEP_63(S) S(12, 13, 192)
// Planes 6 and 7 are the sign in v24, v25, or plane 6 is one more and the sign goes there then.
#define DIFFERENCE_63(P, V)                                                                                 \
  DIFFERENCE(COUNT_63(P, LOAD_##V, ADD_##V, ZERO_##V), KEEP_63(STORE_##V), AGAIN_##V, FIRST_LESS_##V,        \
             LESS_##V)                                                                                      \
  COPY_##V(12, 13, 24, 25)
#define DIFFERENCE_127(P, V)                                                                                \
  DIFFERENCE(COUNT_127(P, LOAD_##V, ADD_##V, ZERO_##V), KEEP_127(STORE_##V), AGAIN_##V, FIRST_LESS_##V,      \
             LESS_##V)                                                                                      \
  AGAIN_##V(14, 15, 192) LESS_##V(12, 13, 14, 15, 24, 25) COPY_##V(24, 25, 14, 15)

// From planes to bytes: v0, v2, ... v12, v24 (or one more each) are planes 0..7, and become the counters of
// the pixels 0..7 of every eight. `masks` are 0x33 and 0x55; v16..v19 are free.
#define SWAP4(a, b) COPY(16, a) "sli v" #a ".16b, v" #b ".16b, #4\n" "sri v" #b ".16b, v16.16b, #4\n"
#define SWAP(a, b, bits, mask)                                                                              \
  "shl v16.16b, v" #b ".16b, #" #bits "\n" "ushr v17.16b, v" #a ".16b, #" #bits "\n"                        \
  BIF(a, 16, mask) BIT(b, 17, mask)
#define TO_BYTES(a, b, c, d, e, f, g, h)                                                                    \
  SWAP4(a, e) SWAP4(b, f) SWAP4(c, g) SWAP4(d, h)                                                           \
  SWAP(a, c, 2, 18) SWAP(b, d, 2, 18) SWAP(e, g, 2, 18) SWAP(f, h, 2, 18)                                   \
  SWAP(a, b, 1, 19) SWAP(c, d, 1, 19) SWAP(e, f, 1, 19) SWAP(g, h, 1, 19)
#define WRITE(a, b, c, d, e, f, g, h, at)                                                                   \
  "stp q" #a ", q" #b ", [%[to], #" #at "]\n" "stp q" #c ", q" #d ", [%[to], #" #at "+32]\n"                \
  "stp q" #e ", q" #f ", [%[to], #" #at "+64]\n" "stp q" #g ", q" #h ", [%[to], #" #at "+96]\n"
#define OUT_1                                                                                               \
  "movi v18.16b, #0x33\n" "movi v19.16b, #0x55\n"                                                           \
  TO_BYTES(0, 2, 4, 6, 8, 10, 12, 24) WRITE(0, 2, 4, 6, 8, 10, 12, 24, 0)
#define OUT_2 OUT_1 TO_BYTES(1, 3, 5, 7, 9, 11, 13, 25) WRITE(1, 3, 5, 7, 9, 11, 13, 25, 128)

#define OPERANDS                                                                                            \
  [list] "+&r"(list), [n] "+&r"(less), [more_n] "+&r"(more), [two] "=&r"(two), [others] "=&r"(others), [at] "=&r"(at)
#define INPUTS [planes] "r"(planes), [kept] "r"(kept), [to] "r"(to)
#define REGISTERS                                                                                           \
  "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",     \
  "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "memory"

// How a position says where its plane begins.
enum class Positions { kBytes, kSixteenths };

// The difference of a class in every lane of kVectors vectors: set bits at the `more` positions less those at
// the `less` positions before them in `list`, neither more than kMost. Writes (vector, lane of eight, byte)
// int8; returns where the next list begins.
template <size_t kVectors, Positions kPositions, int kMost>
__attribute__((always_inline)) inline const uint16_t* class_difference(const uint8_t* planes, const uint16_t* list,
                                                                       int less, int more, int8_t* to) {
  static_assert(kMost == 63 || kMost == 127);
  alignas(16) uint8_t kept[7 * 32];
  uint64_t two, others, at;
  if constexpr (kVectors == 2 && kPositions == Positions::kBytes && kMost == 63)
    asm volatile(DIFFERENCE_63(BYTES, 2) OUT_2 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 2 && kPositions == Positions::kBytes && kMost == 127)
    asm volatile(DIFFERENCE_127(BYTES, 2) OUT_2 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 2 && kPositions == Positions::kSixteenths && kMost == 63)
    asm volatile(DIFFERENCE_63(SIXTEENTHS, 2) OUT_2 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 2 && kPositions == Positions::kSixteenths && kMost == 127)
    asm volatile(DIFFERENCE_127(SIXTEENTHS, 2) OUT_2 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 1 && kPositions == Positions::kBytes && kMost == 63)
    asm volatile(DIFFERENCE_63(BYTES, 1) OUT_1 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 1 && kPositions == Positions::kBytes && kMost == 127)
    asm volatile(DIFFERENCE_127(BYTES, 1) OUT_1 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 1 && kPositions == Positions::kSixteenths && kMost == 63)
    asm volatile(DIFFERENCE_63(SIXTEENTHS, 1) OUT_1 : OPERANDS : INPUTS : REGISTERS);
  if constexpr (kVectors == 1 && kPositions == Positions::kSixteenths && kMost == 127)
    asm volatile(DIFFERENCE_127(SIXTEENTHS, 1) OUT_1 : OPERANDS : INPUTS : REGISTERS);
  return list;
}

#undef EOR
#undef BIC
#undef BIT
#undef BIF
#undef ZERO
#undef LOAD_2
#undef LOAD_1
#undef ADD_2
#undef ADD_1
#undef ZERO_2
#undef ZERO_1
#undef STORE_2
#undef STORE_1
#undef AGAIN_2
#undef AGAIN_1
#undef LESS
#undef LESS_2
#undef LESS_1
#undef FIRST_LESS
#undef FIRST_LESS_2
#undef FIRST_LESS_1
#undef BYTES_LOW
#undef BYTES_HIGH
#undef SIXTEENTHS_LOW
#undef SIXTEENTHS_HIGH
#undef PAIR
#undef RUN1
#undef RUN2
#undef RUN4
#undef RUN8
#undef RUN16
#undef RUN32
#undef RUN64
#undef WHERE
#undef COUNT_63
#undef COUNT_127
#undef DIFFERENCE
#undef KEEP_63
#undef KEEP_127
#undef DIFFERENCE_63
#undef DIFFERENCE_127
#undef COPY
#undef COPY_2
#undef COPY_1
#undef SWAP4
#undef SWAP
#undef TO_BYTES
#undef WRITE
#undef OUT_1
#undef OUT_2
#undef OPERANDS
#undef INPUTS
#undef REGISTERS
// clang-format on

}  // namespace larqnets
