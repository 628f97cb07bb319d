# SPDX-License-Identifier: MIT
# Every C source of the library, listed here and nowhere else; paths are relative to this folder.

CORE_SOURCES := \
  src/status.c \
  src/handle.c \
  src/owner.c \
  src/error.c \
  src/options.c \
  src/address.c \
  src/interface.c \
  src/context.c \
  src/config.c \
  src/publication.c \
  src/info.c \
  src/send.c \
  src/scratch.c \
  src/plan.c \
  src/offload.c \
  src/pacer.c \
  src/batch.c \
  src/filter.c \
  src/table.c \
  src/receiver.c \
  src/member.c \
  src/wish.c \
  src/join.c \
  src/leave.c \
  src/refilter.c \
  src/membership.c \
  src/follow.c \
  src/subscription.c \
  src/held.c \
  src/take.c \
  src/attempt.c \
  src/receive.c \
  src/receive_batch.c \
  src/wait.c \
  src/metrics.c \
  src/events.c \
  src/constants.c \
  src/library.c \
  src/python.c

POSIX_SOURCES := \
  src/platform/posix/address.c \
  src/platform/posix/fork.c \
  src/platform/posix/memory.c \
  src/platform/posix/mutex.c \
  src/platform/posix/socket.c \
  src/platform/posix/status.c \
  src/platform/posix/time.c \
  src/platform/posix/wait.c

LINUX_SOURCES := \
  src/platform/linux/capability.c \
  src/platform/linux/event.c \
  src/platform/linux/fence.c \
  src/platform/linux/fork_page.c \
  src/platform/linux/interface.c \
  src/platform/linux/membership.c \
  src/platform/linux/option.c \
  src/platform/linux/poll.c \
  src/platform/linux/poller.c \
  src/platform/linux/queue.c \
  src/platform/linux/receive.c \
  src/platform/linux/route.c \
  src/platform/linux/rtnl.c \
  src/platform/linux/send.c \
  src/platform/linux/socket.c \
  src/platform/linux/watch.c

# Its threads are the system's.
SIM_SOURCES := \
  src/platform/linux/fence.c \
  src/platform/posix/mutex.c \
  src/platform/sim/clock.c \
  src/platform/sim/deliver.c \
  src/platform/sim/descriptor.c \
  src/platform/sim/event.c \
  src/platform/sim/fault.c \
  src/platform/sim/limit.c \
  src/platform/sim/membership.c \
  src/platform/sim/memory.c \
  src/platform/sim/network.c \
  src/platform/sim/poller.c \
  src/platform/sim/receive.c \
  src/platform/sim/send.c \
  src/platform/sim/socket.c \
  src/platform/sim/wait.c \
  src/platform/sim/watch.c \
  src/platform/sim/wire.c
