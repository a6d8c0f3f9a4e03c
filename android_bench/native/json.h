// JSON, built as text.
#ifndef LARQNETS_JSON_H_
#define LARQNETS_JSON_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace larqnets_runner {

using Fields = std::vector<std::pair<std::string, std::string>>;  // name, and its value as JSON

std::string quoted(const std::string& text);
std::string object(const Fields& fields);
std::string list(const std::vector<std::string>& items);
std::string milliseconds(uint64_t ns);
std::string hexadecimal(uint64_t value);

}  // namespace larqnets_runner

#endif  // LARQNETS_JSON_H_
