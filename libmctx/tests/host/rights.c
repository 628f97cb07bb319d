/* SPDX-License-Identifier: MIT */
/* What the process may do. */
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host.h"

static struct __user_cap_data_struct before[_LINUX_CAPABILITY_U32S_3];

void rights_drop(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
  assert_int_equal(0, syscall(SYS_capget, &header, before));
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
    none[i] = before[i];
    none[i].effective = 0;
  }
  assert_int_equal(0, syscall(SYS_capset, &header, none));
}

void rights_regain(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  assert_int_equal(0, syscall(SYS_capset, &header, before));
}

uint64_t limit_descriptors(uint64_t wanted) {
  struct rlimit limit;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &limit));
  rlim_t old = limit.rlim_cur;
  limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &limit));
  return old;
}
