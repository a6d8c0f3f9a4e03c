// The ops of one invocation, as TFLite's profiler tells of them. Where memory ends an event is lost and the
// profile says so; nothing else happens.
#ifndef LARQNETS_PROFILE_H_
#define LARQNETS_PROFILE_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

namespace larqnets {

struct Event {
  std::string name;
  int32_t op = 0;
  bool in_delegate = false;
  const char* way = "";  // that a 1-bit convolution counted
  uint64_t started = 0;
  uint64_t nanoseconds = 0;
};

class Profile {
 public:
  static constexpr uint32_t kNoEvent = UINT32_MAX;

  // Forgets the events but keeps their memory: after the first invocation nothing is allocated while clock
  // or counter run.
  void clear() {
    count_ = 0;
    lost_ = false;
  }

  // Adds an event; its number, or kNoEvent when there is no memory for it.
  uint32_t add(const char* name, int64_t op, bool in_delegate, uint64_t nanoseconds) {
    try {
      if (count_ == events_.size()) events_.emplace_back();
      Event& event = events_[count_];
      if (event.name != name) event.name = name;
      event.op = static_cast<int32_t>(op);
      event.in_delegate = in_delegate;
      event.way = "";
      event.nanoseconds = nanoseconds;
    } catch (const std::exception&) {
      lost_ = true;
      return kNoEvent;
    }
    return static_cast<uint32_t>(count_++);
  }

  // The event of a number that add() returned, null for any other.
  Event* find(uint32_t number) { return number < count_ ? &events_[number] : nullptr; }
  const Event* find(uint32_t number) const { return number < count_ ? &events_[number] : nullptr; }

  // Whether an event since clear() is missing.
  bool lost() const { return lost_; }

 private:
  std::vector<Event> events_;
  size_t count_ = 0;
  bool lost_ = false;
};

}  // namespace larqnets

#endif  // LARQNETS_PROFILE_H_
