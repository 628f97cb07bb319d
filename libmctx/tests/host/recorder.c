/* SPDX-License-Identifier: MIT */
/* Receivers that note which datagrams came, in which order, while the test goes on. */
#include "host/recorder.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void numbered(unsigned char *payload, size_t length, uint32_t number) {
  memset(payload, (int)(number % 251), length);
  memcpy(payload, &number, sizeof number);
}

void numbered_slices(mctx_slice *slices, void *payloads, size_t length, uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    unsigned char *payload = (unsigned char *)payloads + i * length;
    numbered(payload, length, first + i);
    slices[i] = (mctx_slice){.data = payload, .length = (uint32_t)length};
  }
}

static void note(recorder *record, ssize_t length, const unsigned char *data) {
  uint32_t number;
  memcpy(&number, data, sizeof number);
  bool whole = (size_t)length == record->length;
  for (size_t i = sizeof number; i < record->length && whole; i++)
    whole = data[i] == number % 251;
  if (!whole) record->damaged++;
  if (record->count < RECORDED) record->numbers[record->count] = number;
  record->count++;
}

/* Ends when it was asked to, and nothing came for a while. */
static void *keep_recording(void *argument) {
  recorder *record = argument;
  unsigned char *data = malloc(LARGEST);
  struct pollfd watched = {.fd = record->receiver, .events = POLLIN};
  for (;;) {
    bool finishing = atomic_load(&record->finishing);
    int ready = poll(&watched, 1, finishing ? record->quiet_ms : 10);
    if (ready == 0 && finishing) break;
    ssize_t length = recv(record->receiver, data, LARGEST, MSG_DONTWAIT);
    if (length >= (ssize_t)sizeof(uint32_t)) note(record, length, data);
  }
  free(data);
  return NULL;
}

recorder *recorder_start(int receiver, size_t length) {
  recorder *record = calloc(1, sizeof *record);
  assert_non_null(record);
  record->receiver = receiver;
  record->length = length;
  assert_int_equal(0, pthread_create(&record->thread, NULL, keep_recording, record));
  return record;
}

void recorder_finish(recorder *record, uint64_t expected, int quiet_ms) {
  uint32_t memory[16] = {0};
  socklen_t length = sizeof memory;
  for (int i = 0; i < 10000 && record->count < expected; i++)
    sleep_ms(1);
  record->quiet_ms = quiet_ms;
  atomic_store(&record->finishing, true);
  assert_int_equal(0, pthread_join(record->thread, NULL));
  assert_int_equal(0, getsockopt(record->receiver, SOL_SOCKET, SO_MEMINFO, memory, &length));
  record->dropped = memory[8]; /* SK_MEMINFO_DROPS */
  close(record->receiver);
}

void assert_prefix(const recorder *record, uint64_t count) {
  assert_int_equal(record->dropped, 0);
  assert_int_equal(record->damaged, 0);
  assert_int_equal(record->count, count);
  for (uint32_t i = 0; i < count; i++)
    if (record->numbers[i] != i) fail_msg("datagram %u came as number %u", record->numbers[i], i);
}

void assert_rising(const recorder *record) {
  assert_int_equal(record->dropped, 0);
  assert_int_equal(record->damaged, 0);
  for (uint32_t i = 1; i < record->count; i++)
    if (record->numbers[i] <= record->numbers[i - 1])
      fail_msg("datagram %u came after %u", record->numbers[i], record->numbers[i - 1]);
}
