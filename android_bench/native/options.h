// The custom options of the Larq ops: a FlexBuffers map of integers, read without trusting a byte of it.
//
// Layout (all numbers little-endian, "width" = 1, 2, 4 or 8 bytes): the last byte is the width of the root,
// the byte before it the root's type (type << 2 | log2 of the child's width), before that the root value: for
// a map the distance back to its first value. Before the values lie, each of the map's width: distance back
// to the keys, width of a key entry, number of entries; behind the values one type byte per entry. Keys are
// NUL-terminated strings.
#ifndef LARQNETS_OPTIONS_H_
#define LARQNETS_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace larqnets {

class OptionMap {
 public:
  OptionMap(const uint8_t* data, size_t size) : data_(data), size_(data == nullptr ? 0 : size) {}

  // Finds an integer (or boolean) by name; false when the map is damaged or has no such entry.
  bool find(const char* name, int64_t* value) const {
    size_t values, width, count;
    if (!open(&values, &width, &count)) return false;
    // Directly before the values: distance to the keys, width of the keys, count.
    if (values < 3 * width) return false;
    const size_t keys_field = values - 3 * width;
    uint64_t distance, key_width;
    if (!read(keys_field, width, &distance) || !read(keys_field + width, width, &key_width)) return false;
    if (distance > keys_field || !is_width(key_width)) return false;
    const size_t keys = keys_field - distance;
    for (size_t i = 0; i < count; ++i) {
      const size_t field = keys + i * key_width;
      uint64_t back;
      if (!read(field, key_width, &back) || back > field) return false;
      if (!text_equals(field - back, name)) continue;
      return number(values + i * width, width, data_[values + count * width + i], value);
    }
    return false;
  }

 private:
  static constexpr uint64_t kMaxEntries = 64;
  static constexpr int kInt = 1, kUint = 2, kIndirectInt = 6, kIndirectUint = 7, kMap = 9, kBool = 26;

  static bool is_width(uint64_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

  bool read(size_t position, size_t width, uint64_t* value) const {
    if (position > size_ || width > size_ - position) return false;
    *value = 0;
    std::memcpy(value, data_ + position, width);
    return true;
  }

  // Finds the first value, the width of a value and the number of entries of the root map.
  bool open(size_t* values, size_t* width, size_t* count) const {
    if (size_ < 3) return false;
    const uint64_t root_width = data_[size_ - 1];
    const int type = data_[size_ - 2];
    if (!is_width(root_width) || size_ < 2 + root_width || type >> 2 != kMap) return false;
    const size_t root = size_ - 2 - root_width;
    uint64_t distance, entries;
    if (!read(root, root_width, &distance) || distance > root) return false;
    *values = root - distance;
    *width = size_t{1} << (type & 3);
    if (*values < *width || !read(*values - *width, *width, &entries) || entries > kMaxEntries) return false;
    *count = entries;
    return *values + *count * (*width + 1) <= size_;
  }

  bool text_equals(size_t position, const char* name) const {
    const size_t length = std::strlen(name) + 1;
    return position <= size_ && length <= size_ - position &&
           std::memcmp(data_ + position, name, length) == 0;
  }

  bool number(size_t position, size_t width, int packed_type, int64_t* value) const {
    const int type = packed_type >> 2;
    uint64_t bits;
    if (!read(position, width, &bits)) return false;
    if (type == kIndirectInt || type == kIndirectUint) {
      if (bits > position) return false;
      width = size_t{1} << (packed_type & 3);
      if (!read(position - bits, width, &bits)) return false;
    } else if (type != kInt && type != kUint && type != kBool) {
      return false;
    }
    const int shift = 64 - 8 * static_cast<int>(width);
    const bool is_signed = type == kInt || type == kIndirectInt;
    if (!is_signed && bits > static_cast<uint64_t>(INT64_MAX)) return false;
    *value = is_signed ? static_cast<int64_t>(bits << shift) >> shift : static_cast<int64_t>(bits);
    return true;
  }

  const uint8_t* data_;
  size_t size_;
};

}  // namespace larqnets

#endif  // LARQNETS_OPTIONS_H_
