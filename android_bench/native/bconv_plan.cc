#include "bconv_plan.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

namespace larqnets {
namespace {

uint32_t load_word(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, 4);
  return word;
}

// Where word `word` of channel `lane` lies in a packed block.
size_t filter_position(const BconvPlan& plan, size_t word, size_t lane) {
  const size_t record = word / 4, within = word % 4 * 4;
  const size_t base = record * kBlockRecordBytes;
  if (record < plan.records) return base + lane * kRecordBytes + within;
  if (plan.rest64 && within < 8) return base + lane * 8 + within;
  return base + 64 + lane * 4;
}

}  // namespace

void BconvPlan::pack(const uint8_t* packed, const float* scale, const float* offset, const int32_t* limit) {
  const BconvParams& p = params;
  const size_t group_in = p.channels_in / p.groups, group_out = p.channels_out / p.groups;
  const size_t taps = static_cast<size_t>(p.filter_h) * p.filter_w, tap_words = (group_in + 31) / 32;
  const size_t words = taps * tap_words;
  depth = static_cast<int64_t>(taps * group_in);
  records = words / 4;
  rest64 = words % 4 >= 2;
  rest32 = words % 2 == 1;
  in_pixel = (static_cast<size_t>(p.channels_in) + 31) / 32 * 4;
  out_pixel = p.output == Output::kFloat  ? static_cast<size_t>(p.channels_out) * 4
              : p.output == Output::kInt8 ? static_cast<size_t>(p.channels_out)
                                          : (static_cast<size_t>(p.channels_out) + 31) / 32 * 4;
  whole_bytes = p.groups == 1 || group_out % 8 == 0;
  for (int group = 0; group < p.groups; ++group) {
    for (size_t c = 0; c < group_out; c += kBlockChannels) {
      const int count = static_cast<int>(std::min<size_t>(kBlockChannels, group_out - c));
      blocks.push_back({group, static_cast<int>(group * group_out + c), count});
    }
  }
  block_bytes = all_records() * kBlockRecordBytes;
  filter.resize(blocks.size() * block_bytes);
  const bool zeros = p.padding == Padding::kSame && p.pad_value == 0;
  tap_minus.assign(zeros ? taps * blocks.size() * kBlockChannels : 0, 0);
  const uint32_t last_mask = group_in % 32 ? (uint32_t{1} << (group_in % 32)) - 1 : UINT32_MAX;
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (int lane = 0; lane < blocks[b].count; ++lane) {
      const uint8_t* from = packed + (blocks[b].channel + lane) * words * 4;
      for (size_t i = 0; i < words; ++i) {
        uint32_t word = load_word(from + i * 4);
        if (i % tap_words == tap_words - 1) word &= last_mask;  // bits that are no channel must not count
        std::memcpy(filter.data() + b * block_bytes + filter_position(*this, i, lane), &word, 4);
        if (zeros)
          tap_minus[(i / tap_words * blocks.size() + b) * kBlockChannels + lane] += __builtin_popcount(word);
      }
    }
  }
  fold(scale, offset, limit);
}

// Multipliers, biases, clamps and thresholds in terms of twice the number of products that are -1.
void BconvPlan::fold(const float* scale, const float* offset, const int32_t* limit) {
  const BconvParams& p = params;
  const size_t lanes = blocks.size() * kBlockChannels;
  if (p.output == Output::kBits) {
    thresholds.assign(lanes, INT32_MAX);  // channels that do not exist are never -1
    limits.assign(lanes, UINT16_MAX);
    odd_limits.assign(lanes, UINT16_MAX);
  } else {
    affine.assign(2 * lanes, 0.0f);
  }
  const double out_scale = p.output == Output::kInt8 ? p.output_scale : 1;
  const double zero_point = p.output == Output::kInt8 ? p.output_zero_point : 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (int lane = 0; lane < blocks[b].count; ++lane) {
      const int c = blocks[b].channel + lane;
      const size_t i = b * kBlockChannels + lane;
      if (p.output == Output::kBits) {
        thresholds[i] = limit[c];
        limits[i] = static_cast<uint16_t>(std::clamp<int64_t>(int64_t{limit[c]} + 1, 0, UINT16_MAX));
        odd_limits[i] = static_cast<uint16_t>(std::clamp<int64_t>(limit[c], 0, UINT16_MAX));
      } else {
        const double back = offset[c] + static_cast<double>(depth) * scale[c];
        float* m = affine.data() + 2 * b * kBlockChannels + lane;
        m[0] = static_cast<float>(-static_cast<double>(scale[c]) / out_scale);
        m[kBlockChannels] = static_cast<float>(back / out_scale + zero_point);
      }
    }
  }
  const int32_t k = static_cast<int32_t>(depth);
  clamps = p.activation != Activation::kNone && p.output != Output::kBits;
  clamp_min =
      p.activation == Activation::kRelu ? 0 : k - std::min(k, p.activation == Activation::kRelu6 ? 6 : 1);
  clamp_max = p.activation == Activation::kReluN1To1 ? k + std::min(k, 1) : k;
}

void BconvPlan::place(const reference::Images& geometry, int pad_bottom, int pad_right) {
  images = geometry;
  bordered_h = static_cast<size_t>(images.pad_top) + images.in_h + pad_bottom;
  bordered_w = static_cast<size_t>(images.pad_left) + images.in_w + pad_right;
  pixels = static_cast<size_t>(images.batch) * images.out_h * images.out_w;
  copies = bordered_h > static_cast<size_t>(images.in_h) || bordered_w > static_cast<size_t>(images.in_w);
  plan_classes();
  bordered.resize(0);
  if (copies) make_copy(0);
}

// Per output and position, per output, per pixel and position, and per pixel; measured by us under qemu.
double BconvPlan::reckon() const {
  constexpr double kPosition = 0.0245, kOutput = 1.9, kGathered = 0.087, kPixel = 18;
  const double window =
      static_cast<double>(params.filter_h) * params.filter_w * static_cast<double>(in_pixel) * 8;
  const double output = window / params.groups * kPosition + kOutput;
  return static_cast<double>(images.out_h) * images.out_w *
         (params.channels_out * output + window * kGathered + kPixel);
}

void BconvPlan::make_copy(size_t bytes_beyond) {
  copies = true;
  bordered.resize(images.batch * bordered_h * bordered_w * in_pixel + bytes_beyond);
}

void BconvPlan::list_windows(std::vector<uint32_t>* starts) const {
  const BconvParams& p = params;
  starts->resize(pixels);
  for (size_t i = 0; i < pixels; ++i) {
    const size_t x = i % images.out_w, y = i / images.out_w % images.out_h,
                 n = i / images.out_w / images.out_h;
    (*starts)[i] =
        static_cast<uint32_t>(((n * bordered_h + y * p.stride_h) * bordered_w + x * p.stride_w) * in_pixel);
  }
}

void BconvPlan::lay_out_tiles() {
  list_windows(&windows);
  tile_bytes = (all_records() * kTilePixels * kRecordBytes + 256 + 63) / 64 * 64;
  tiles.resize(tile_bytes * params.threads);
  plan_moves();
}

void BconvPlan::drop_tiles() {
  windows = {};
  tiles.resize(0);
  moves16 = moves8 = moves4 = {};
}

uint32_t BconvPlan::weights(size_t block, size_t lane, size_t word) const {
  return load_word(filter.data() + block * block_bytes + filter_position(*this, word, lane));
}

// Cuts every window into moves of 16, 8 and 4 bytes that do not cross a record.
void BconvPlan::plan_moves() {
  const BconvParams& p = params;
  const size_t tap_bytes = (static_cast<size_t>(p.channels_in) / p.groups + 31) / 32 * 4;
  moves16.assign(p.groups, {});
  moves8.assign(p.groups, {});
  moves4.assign(p.groups, {});
  for (int group = 0; group < p.groups; ++group) {
    size_t done = 0;  // bytes of the window
    size_t from = 0, length = 0;
    const auto flush = [&] {
      while (length > 0) {
        const size_t record = done / kRecordBytes;
        size_t within = done % kRecordBytes;
        const size_t most = std::min(length, kRecordBytes - within);
        const size_t size = most >= 16 ? 16 : most >= 8 ? 8 : 4;
        if (record == records && !rest64) within += 8;  // the last 32 bits
        auto& moves = size == 16 ? moves16[group] : size == 8 ? moves8[group] : moves4[group];
        moves.push_back({static_cast<uint32_t>(from), static_cast<uint32_t>(record * kRecordBytes),
                         static_cast<uint32_t>(within)});
        done += size;
        from += size;
        length -= size;
      }
    };
    for (int ky = 0; ky < p.filter_h; ++ky) {
      for (int kx = 0; kx < p.filter_w; ++kx) {
        const size_t tap = (size_t(ky) * p.dilation_h * bordered_w + size_t(kx) * p.dilation_w) * in_pixel +
                           group * tap_bytes;
        if (length > 0 && tap == from + length) {
          length += tap_bytes;
        } else {
          flush();
          from = tap;
          length = tap_bytes;
        }
      }
    }
    flush();
  }
}

namespace {

// The taps [first, last) that lie inside, for every output position of one dimension.
struct Range {
  int first, last;
  bool operator<(const Range& other) const {
    return first != other.first ? first < other.first : last < other.last;
  }
};

std::vector<Range> inside(int out, int in, int filter, int stride, int dilation, int before) {
  std::vector<Range> ranges(out);
  for (int o = 0; o < out; ++o) {
    const int64_t start = int64_t{o} * stride - before;
    const int64_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    const int64_t last = start >= in ? 0 : (in - 1 - start) / dilation + 1;
    ranges[o].first = static_cast<int>(std::min<int64_t>(first, filter));
    ranges[o].last = static_cast<int>(std::clamp<int64_t>(last, ranges[o].first, filter));
  }
  return ranges;
}

}  // namespace

void BconvPlan::plan_classes() {
  const BconvParams& p = params;
  classes.clear();
  starts.clear();
  starts16.clear();
  odd.clear();
  if (!copies || p.pad_value != 0) return;
  const auto rows = inside(images.out_h, images.in_h, p.filter_h, p.stride_h, p.dilation_h, images.pad_top);
  const auto columns =
      inside(images.out_w, images.in_w, p.filter_w, p.stride_w, p.dilation_w, images.pad_left);
  std::map<std::pair<Range, Range>, uint32_t> ids = {{{{0, p.filter_h}, {0, p.filter_w}}, 0}};
  std::vector<std::pair<Range, Range>> found = {ids.begin()->first};
  const size_t image = static_cast<size_t>(images.out_h) * images.out_w;
  classes.resize(pixels);
  for (size_t i = 0; i < image; ++i) {
    const auto entry =
        ids.insert({{rows[i / images.out_w], columns[i % images.out_w]}, uint32_t(found.size())});
    if (entry.second) found.push_back(entry.first->first);
    classes[i] = entry.first->second;
  }
  for (size_t i = image; i < pixels; ++i) classes[i] = classes[i - image];

  // before[y][x] = weights that are -1 in the taps above y and left of x, so that a rectangle is four
  // look-ups.
  const size_t lanes = blocks.size() * kBlockChannels, across = static_cast<size_t>(p.filter_w) + 1;
  std::vector<int32_t> before((static_cast<size_t>(p.filter_h) + 1) * across * lanes, 0);
  const auto at = [&](size_t y, size_t x) { return before.data() + (y * across + x) * lanes; };
  for (int y = 0; y < p.filter_h; ++y) {
    for (int x = 0; x < p.filter_w; ++x) {
      const int32_t* minus = tap_minus.data() + (static_cast<size_t>(y) * p.filter_w + x) * lanes;
      for (size_t i = 0; i < lanes; ++i)
        at(y + 1, x + 1)[i] = minus[i] + at(y, x + 1)[i] + at(y + 1, x)[i] - at(y, x)[i];
    }
  }
  const int64_t group_in = p.channels_in / p.groups, taps = int64_t{p.filter_h} * p.filter_w;
  starts.resize(found.size() * lanes);
  starts16.resize(found.size() * lanes);
  odd.resize(found.size());
  for (size_t id = 0; id < found.size(); ++id) {
    const Range y = found[id].first, x = found[id].second;
    const int64_t outside = group_in * (taps - int64_t{y.last - y.first} * (x.last - x.first));
    odd[id] = outside % 2;
    for (size_t i = 0; i < lanes; ++i) {
      const int32_t minus_inside =
          at(y.last, x.last)[i] - at(y.first, x.last)[i] - at(y.last, x.first)[i] + at(y.first, x.first)[i];
      const int32_t start =
          static_cast<int32_t>(outside / 2) - (at(p.filter_h, p.filter_w)[i] - minus_inside);
      starts[id * lanes + i] = start;
      starts16[id * lanes + i] = static_cast<uint16_t>(start);
    }
  }
}

// The border keeps the zeros it was made with: +1, the value of one padding.
void BconvPlan::add_borders(const uint8_t* input) {
  const size_t row_bytes = images.in_w * in_pixel, bordered_row = bordered_w * in_pixel;
  for (int n = 0; n < images.batch; ++n) {
    uint8_t* to =
        bordered.data() + ((n * bordered_h + images.pad_top) * bordered_w + images.pad_left) * in_pixel;
    for (int y = 0; y < images.in_h; ++y, to += bordered_row, input += row_bytes)
      std::memcpy(to, input, row_bytes);
  }
}

Split split(size_t tiles, size_t blocks, int threads) {
  threads = std::clamp(threads, 1, kMaxThreads);
  Split best = {1, 1};
  size_t least = std::numeric_limits<size_t>::max();
  for (int strips = threads; strips >= 1;
       --strips) {  // on equal terms more strips: each gathers its tiles once
    const size_t parts = std::max<size_t>(1, std::min<size_t>(threads / strips, blocks));
    const size_t load = ((tiles + strips - 1) / strips) * ((blocks + parts - 1) / parts);
    if (load < least) {
      least = load;
      best = {strips, static_cast<int>(parts)};
    }
  }
  return best;
}

}  // namespace larqnets
