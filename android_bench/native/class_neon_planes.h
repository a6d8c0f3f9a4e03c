// The planes of class sums on ARM64: bits of pixels, channels last, become bits of channels, pixels last.
#pragma once

#include <arm_neon.h>

#include "class_tiles.h"

namespace larqnets {

// Exchanges the bits of a that are not in the mask with those of b that are, kBits apart.
template <int kBits>
inline void swap_bits(uint8x16_t& a, uint8x16_t& b, uint8x16_t mask) {
  const uint8x16_t low = vshlq_n_u8(b, kBits), high = vshrq_n_u8(a, kBits);
  a = vbslq_u8(mask, a, low);
  b = vbslq_u8(mask, high, b);
}

// Bit i of byte k of vector j becomes bit j of byte k of vector i.
inline void transpose_bits(uint8x16_t (&v)[8]) {
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t first = v[i];
    v[i] = vsliq_n_u8(v[i], v[i + 4], 4);
    v[i + 4] = vsriq_n_u8(v[i + 4], first, 4);
  }
  for (const int i : {0, 1, 4, 5}) swap_bits<2>(v[i], v[i + 2], vdupq_n_u8(0x33));
  for (const int i : {0, 2, 4, 6}) swap_bits<1>(v[i], v[i + 1], vdupq_n_u8(0x55));
}

template <int kBytes, int kLane>
inline void store_lane(uint8_t* to, uint8x16_t v) {
  if constexpr (kBytes == 1) vst1q_lane_u8(to, v, kLane);
  if constexpr (kBytes == 2) vst1q_lane_u16(reinterpret_cast<uint16_t*>(to), vreinterpretq_u16_u8(v), kLane);
  if constexpr (kBytes == 4) vst1q_lane_u32(reinterpret_cast<uint32_t*>(to), vreinterpretq_u32_u8(v), kLane);
  if constexpr (kBytes == 8) vst1q_lane_u64(reinterpret_cast<uint64_t*>(to), vreinterpretq_u64_u8(v), kLane);
}

// Stores all lanes of kBytes bytes, `step` apart.
template <int kBytes, int kLane = 0>
inline void store_lanes(uint8_t* to, size_t step, uint8x16_t v) {
  store_lane<kBytes, kLane>(to, v);
  if constexpr (kLane + 1 < 16 / kBytes) store_lanes<kBytes, kLane + 1>(to + step, step, v);
}

inline uint8x16_t zip16(uint8x16_t a, uint8x16_t b, bool second) {
  const uint16x8_t x = vreinterpretq_u16_u8(a), y = vreinterpretq_u16_u8(b);
  return vreinterpretq_u8_u16(second ? vzip2q_u16(x, y) : vzip1q_u16(x, y));
}
inline uint8x16_t zip32(uint8x16_t a, uint8x16_t b, bool second) {
  const uint32x4_t x = vreinterpretq_u32_u8(a), y = vreinterpretq_u32_u8(b);
  return vreinterpretq_u8_u32(second ? vzip2q_u32(x, y) : vzip1q_u32(x, y));
}

// The bytes k of kBytes vectors come one after the other: byte 0 of all vectors, byte 1 of all vectors, ...
template <int kBytes>
inline void interleave(uint8x16_t (&v)[kBytes]) {
  if constexpr (kBytes == 1) return;
  uint8x16_t pairs[kBytes];  // first those of bytes 0..7
  for (int i = 0; i < kBytes / 2; ++i) {
    pairs[i] = vzip1q_u8(v[2 * i], v[2 * i + 1]);
    pairs[kBytes / 2 + i] = vzip2q_u8(v[2 * i], v[2 * i + 1]);
  }
  if constexpr (kBytes == 2) v[0] = pairs[0], v[1] = pairs[1];
  if constexpr (kBytes == 4) {
    for (int i = 0; i < 4; ++i) v[i] = zip16(pairs[i / 2 * 2], pairs[i / 2 * 2 + 1], i % 2);
  }
  if constexpr (kBytes == 8) {
    for (int half = 0; half < 8; half += 4) {
      for (int i = 0; i < 4; ++i) {
        const uint8x16_t a = zip16(pairs[half], pairs[half + 1], i / 2),
                         b = zip16(pairs[half + 2], pairs[half + 3], i / 2);
        v[half + i] = zip32(a, b, i % 2);
      }
    }
  }
}

// The same of vectors whose halves are two each: the first one's bytes 0..7, the second one's.
template <int kBytes>
inline void interleave_halves(uint8x16_t (&v)[kBytes]) {
  uint8x16_t pairs[kBytes / 2];
  for (int i = 0; i < kBytes / 2; ++i) pairs[i] = vzip1q_u8(v[i], vextq_u8(v[i], v[i], 8));
  if constexpr (kBytes == 2) v[0] = pairs[0];
  if constexpr (kBytes == 4) v[0] = zip16(pairs[0], pairs[1], false), v[1] = zip16(pairs[0], pairs[1], true);
  if constexpr (kBytes == 8) {
    for (int i = 0; i < 4; ++i)
      v[i] = zip32(zip16(pairs[0], pairs[1], i / 2), zip16(pairs[2], pairs[3], i / 2), i % 2);
  }
}

// 8 * `bytes` pixels of one row, at most 8 * kBytes, of which the rest is stored as zeros. kHalves: of at
// most 64 channels, so that a vector takes the pixels of two bytes.
template <int kBytes, bool kHalves>
inline void make_bytes(const PlaneRows& rows, const uint8_t* from, size_t step, size_t bytes, uint8_t* to,
                       size_t plane_bytes) {
  constexpr int kVectors = kHalves ? (kBytes + 1) / 2 : kBytes;
  uint8x16_t of_bit[8][kBytes];
  size_t i = 0;
  for (; i < kVectors && i * kBytes < bytes * kVectors; ++i) {
    uint8x16_t v[8];
    if constexpr (kHalves) {
      const uint8_t* other = 2 * i + 1 < bytes ? from + 8 * step : from;
      for (int p = 0; p < 8; ++p, from += step, other += step)
        v[p] = vcombine_u8(vld1_u8(from), vld1_u8(other));
      from += 8 * step;
    } else {
      for (int p = 0; p < 8; ++p, from += step) v[p] = vld1q_u8(from);
    }
    transpose_bits(v);
    for (int bit = 0; bit < 8; ++bit) of_bit[bit][i] = v[bit];
  }
  for (; i < kVectors; ++i) {
    for (int bit = 0; bit < 8; ++bit) of_bit[bit][i] = vdupq_n_u8(0);
  }
  constexpr size_t kLanes = 16 / kBytes;  // channels of a vector, which are eight apart
  for (int bit = 0; bit < 8; ++bit) {
    if constexpr (kHalves) {
      interleave_halves<kBytes>(of_bit[bit]);
    } else {
      interleave<kBytes>(of_bit[bit]);
    }
    uint8_t* plane = to + bit * plane_bytes;
    for (int i = 0; i < kVectors; ++i, plane += 8 * kLanes * plane_bytes) {
      const size_t done = i * kLanes;
      if (done + kLanes <= rows.channel_bytes) {
        store_lanes<kBytes>(plane, 8 * plane_bytes, of_bit[bit][i]);
        continue;
      }
      uint8_t lanes[16];
      vst1q_u8(lanes, of_bit[bit][i]);
      for (size_t l = 0; done + l < rows.channel_bytes; ++l)
        std::memcpy(plane + l * 8 * plane_bytes, lanes + l * kBytes, kBytes);
    }
  }
}

template <bool kHalves>
inline void make_rows(const BconvPlan& plan, const ClassPlan& classes, const PlaneRows& rows) {
  const size_t step = plan.params.stride_w * plan.in_pixel, plane = classes.plane_bytes;
  for (size_t row = 0; row < rows.rows; ++row) {
    const uint8_t* from = rows.source + row * rows.source_row;
    uint8_t* to = rows.to + row * classes.row_bytes;
    for (size_t left = classes.row_bytes; left > 0;) {
      const size_t bytes = left < 8 ? left : 8;
      if (bytes > 4) {
        make_bytes<8, kHalves>(rows, from, step, bytes, to, plane);
      } else if (bytes > 2) {
        make_bytes<4, kHalves>(rows, from, step, bytes, to, plane);
      } else if (bytes == 2) {
        make_bytes<2, kHalves>(rows, from, step, bytes, to, plane);
      } else {
        make_bytes<1, false>(rows, from, step, bytes, to, plane);
      }
      from += 8 * bytes * step;
      to += bytes;
      left -= bytes;
    }
  }
}

// A row is stored in steps of 8, 4, 2 or 1 bytes, so that the last one may spill where the next row goes, or
// beyond the last one's end.
inline void make_neon_planes(const BconvPlan& plan, const ClassPlan& classes, const PlaneRows& rows) {
  rows.channel_bytes <= 8 ? make_rows<true>(plan, classes, rows) : make_rows<false>(plan, classes, rows);
}

}  // namespace larqnets
