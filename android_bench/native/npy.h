// Values of tensors from and to .npy files.
#ifndef LARQNETS_NPY_H_
#define LARQNETS_NPY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "larqnets.h"
#include "runner_files.h"

namespace larqnets_runner {

struct NumpyType {
  int type;
  const char* name;
  size_t size;
};

const NumpyType& numpy_type(const larqnets_tensor& tensor);

std::string shape_of(const larqnets_tensor& tensor);

// Samples of one input: `count` times the bytes of the tensor, starting at `start`.
struct Samples {
  Content content;
  size_t start = 0;
  size_t count = 0;
};

// Reads raw values, or a .npy of the tensor's type whose dimensions behind the first are the tensor's.
Samples read_samples(const std::string& path, const larqnets_tensor& tensor);

// Values for a model that nobody gave an input, always the same: float32 from -1 to 1, bytes of any value, 0 and
// 1 of booleans and of wider integers, which may be indices, zeros of other types.
std::vector<Samples> made_up(const std::vector<larqnets_tensor>& inputs);

// Writes a .npy beside its place and renames it, so that a full disk leaves no half file under the name.
void write_npy(const std::string& path, const larqnets_tensor& tensor, const std::vector<uint8_t>& data,
               size_t count);

}  // namespace larqnets_runner

#endif  // LARQNETS_NPY_H_
