#include "npy.h"

#include <errno.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace larqnets_runner {

namespace {

constexpr NumpyType kTypes[] = {{1, "<f4", 4},  {2, "<i4", 4},  {3, "|u1", 1}, {4, "<i8", 8},  {6, "|b1", 1},
                                {7, "<i2", 2},  {8, "<c8", 8},  {9, "|i1", 1}, {10, "<f2", 2}, {11, "<f8", 8},
                                {13, "<u8", 8}, {16, "<u4", 4}, {17, "<u2", 2}};

}  // namespace

const NumpyType& numpy_type(const larqnets_tensor& tensor) {
  for (const NumpyType& t : kTypes) {
    if (t.type == tensor.type) return t;
  }
  fail("tensor '%s' has the type %d, which cannot be read or written.", tensor.name, tensor.type);
}

std::string shape_of(const larqnets_tensor& tensor) {
  std::string text = "(";
  for (int i = 0; i < tensor.rank; ++i)
    text += std::to_string(tensor.dims[i]) + (i + 1 < tensor.rank ? ", " : "");
  return text + ")";
}

Samples read_samples(const std::string& path, const larqnets_tensor& tensor) {
  Samples samples;
  samples.content = read_file(path);
  const uint8_t* data = samples.content.data.get();
  size_t bytes = samples.content.size;
  if (bytes >= 10 && std::memcmp(data, "\x93NUMPY", 6) == 0) {
    const size_t before = data[6] == 1 ? 10 : 12;
    size_t length = data[8] | static_cast<size_t>(data[9]) << 8;
    if (before == 12 && bytes >= 12)
      length |= static_cast<size_t>(data[10]) << 16 | static_cast<size_t>(data[11]) << 24;
    if (bytes < before || length > bytes - before) fail("%s is cut off.", path.c_str());
    const std::string header(reinterpret_cast<const char*>(data) + before, length);
    const NumpyType& type = numpy_type(tensor);
    if (header.find(std::string("'descr': '") + type.name + "'") == std::string::npos) {
      fail("%s does not hold values of type %s, which input '%s' takes.", path.c_str(), type.name,
           tensor.name);
    }
    if (header.find("'fortran_order': False") == std::string::npos) {
      fail("%s is in Fortran order. Save it with numpy.ascontiguousarray.", path.c_str());
    }
    std::string rest;  // the dimensions behind the first, as numpy writes them
    for (int i = 1; i < tensor.rank; ++i) rest += ", " + std::to_string(tensor.dims[i]);
    rest += tensor.rank <= 1 ? ",)" : ")";  // one scalar per sample is an array of rank 1, too
    const size_t open = header.find("'shape': ("), close = header.find(')', open);
    const size_t comma = header.find(',', open);
    if (open == std::string::npos || close == std::string::npos || comma > close ||
        header.substr(comma, close + 1 - comma) != rest) {
      fail("%s does not have the shape %s of input '%s', repeated along the first axis.", path.c_str(),
           shape_of(tensor).c_str(), tensor.name);
    }
    samples.start = before + length;
    bytes -= samples.start;
  }
  if (tensor.bytes == 0 || bytes == 0 || bytes % tensor.bytes != 0) {
    fail("%s holds %zu bytes, which is no multiple of the %" PRIu64 " of input '%s' %s.", path.c_str(), bytes,
         tensor.bytes, tensor.name, shape_of(tensor).c_str());
  }
  samples.count = bytes / tensor.bytes;
  return samples;
}

std::vector<Samples> made_up(const std::vector<larqnets_tensor>& inputs) {
  std::vector<Samples> result;
  uint64_t state = 1;
  for (const larqnets_tensor& tensor : inputs) {
    Samples s;
    s.content.size = tensor.bytes;
    s.content.data.reset(static_cast<uint8_t*>(std::aligned_alloc(64, tensor.bytes / 64 * 64 + 64)));
    if (s.content.data == nullptr) fail("input '%s' does not fit into memory.", tensor.name);
    auto next = [&state] {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return static_cast<uint32_t>(state >> 33);  // 31 bits
    };
    if (tensor.type == 1) {
      auto* values = reinterpret_cast<float*>(s.content.data.get());
      for (size_t i = 0; i < tensor.bytes / 4; ++i)
        values[i] = static_cast<float>(next()) / 1073741824.0f - 1;
    } else {
      uint8_t* bytes = s.content.data.get();
      const NumpyType& type = numpy_type(tensor);
      const bool any_value = type.size == 1 && type.type != 6;
      std::memset(bytes, 0, tensor.bytes);
      for (size_t i = 0; i < tensor.bytes && std::strchr("fc", type.name[1]) == nullptr; i += type.size) {
        bytes[i] = static_cast<uint8_t>(any_value ? next() >> 20 : next() >> 30);
      }
    }
    s.count = 1;
    result.push_back(std::move(s));
  }
  return result;
}

void write_npy(const std::string& path, const larqnets_tensor& tensor, const std::vector<uint8_t>& data,
               size_t count) {
  std::string shape =
      std::to_string(count * (tensor.rank > 0 ? static_cast<size_t>(tensor.dims[0]) : 1)) + ",";
  for (int i = 1; i < tensor.rank; ++i) shape += (i > 1 ? ", " : " ") + std::to_string(tensor.dims[i]);
  std::string header = std::string("{'descr': '") + numpy_type(tensor).name +
                       "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header += std::string(63 - (header.size() + 10) % 64, ' ') + "\n";
  const uint8_t preamble[10] = {0x93,
                                'N',
                                'U',
                                'M',
                                'P',
                                'Y',
                                1,
                                0,
                                static_cast<uint8_t>(header.size() & 255),
                                static_cast<uint8_t>(header.size() >> 8)};
  const std::string temporary = path + ".writing";
  FILE* file = std::fopen(temporary.c_str(), "wb");
  bool done = file != nullptr;
  done = done && std::fwrite(preamble, 1, sizeof preamble, file) == sizeof preamble;
  done = done && std::fwrite(header.data(), 1, header.size(), file) == header.size();
  done = done && std::fwrite(data.data(), 1, data.size(), file) == data.size();
  done = done && std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  int reason = errno;
  if (file != nullptr && std::fclose(file) != 0 && done) {
    done = false;
    reason = errno;
  }
  if (done && std::rename(temporary.c_str(), path.c_str()) != 0) {
    done = false;
    reason = errno;
  }
  if (!done) {
    unlink(temporary.c_str());
    fail("cannot write %s: %s.", path.c_str(), std::strerror(reason));
  }
}

}  // namespace larqnets_runner
