# SPDX-License-Identifier: MIT
# Every C source of the library, listed here and nowhere else; paths are relative to this folder.

CORE_SOURCES := \
  src/status.c \
  src/handle.c \
  src/error.c \
  src/options.c \
  src/address.c \
  src/interface.c \
  src/context.c \
  src/config.c \
  src/publication.c \
  src/info.c \
  src/send.c \
  src/batch.c \
  src/wait.c \
  src/metrics.c \
  src/events.c \
  src/constants.c \
  src/library.c

POSIX_SOURCES := $(sort $(wildcard src/platform/posix/*.c))

LINUX_SOURCES := $(sort $(wildcard src/platform/linux/*.c))

SIM_SOURCES := $(sort $(wildcard src/platform/sim/*.c))
