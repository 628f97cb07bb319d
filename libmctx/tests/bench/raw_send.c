/* SPDX-License-Identifier: MIT */
#include "raw_send.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

enum { FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL, CONTROL = CMSG_SPACE(sizeof(uint16_t)) };

static int add_control(struct msghdr *header, uint32_t size) {
  const uint16_t segment = (uint16_t)size;
  struct cmsghdr *control = calloc(1, CONTROL);
  if (control == NULL) return 1;
  control->cmsg_level = IPPROTO_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof segment);
  memcpy(CMSG_DATA(control), &segment, sizeof segment);
  header->msg_control = control;
  header->msg_controllen = CONTROL;
  return 0;
}

/* One message: of the pieces themselves, or of bytes that lie together. */
static int make_message(const raw_sender *own, struct msghdr *header, struct iovec *pieces, superpacket made,
                        unsigned char *together) {
  const bool is_one = together != NULL && made.count > 1;
  header->msg_iov = is_one ? calloc(1, sizeof *header->msg_iov) : pieces;
  header->msg_iovlen = is_one ? 1 : made.count;
  if (header->msg_iov == NULL) return 1;
  if (is_one) *header->msg_iov = (struct iovec){together, made.bytes};
  if (own->group_length != 0) {
    header->msg_name = (void *)(uintptr_t)&own->group;
    header->msg_namelen = own->group_length;
  }
  return made.count > 1 ? add_control(header, made.size) : 0;
}

static int make_batch(const raw_sender *own, enum layout layout, enum raw_form form, uint32_t batch,
                      raw_messages *messages) {
  const uint32_t count = own->own->batch;
  const uint32_t *sizes = own->own->sizes + (size_t)batch * count;
  struct iovec *pieces = own->own->pieces[layout] + (size_t)batch * count;
  unsigned char *copy = own->copy;
  messages->headers = calloc(count, sizeof *messages->headers);
  messages->datagrams = calloc(count, sizeof *messages->datagrams);
  if (messages->headers == NULL || messages->datagrams == NULL) return 1;
  for (uint32_t i = 0; i < count;) {
    const superpacket made = datagrams_join(sizes + i, form == LONE ? 1 : count - i, SEGMENTS_MAX);
    unsigned char *together = form == COPIED ? copy : layout == CONTIGUOUS ? pieces[i].iov_base : NULL;
    if (make_message(own, &messages->headers[messages->count].msg_hdr, pieces + i, made, together) != 0)
      return 1;
    messages->datagrams[messages->count++] = made.count;
    copy += made.bytes;
    i += made.count;
  }
  return 0;
}

int raw_sender_make(raw_sender *own) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < own->own->batch * own->own->batches; i++)
    bytes += own->own->sizes[i];
  own->copy = calloc(1, bytes + 1);
  if (own->copy == NULL) return 1;
  for (int layout = 0; layout < LAYOUTS; layout++) {
    for (int form = 0; form < RAW_FORMS; form++) {
      raw_messages *messages = calloc(own->own->batches, sizeof *messages);
      own->messages[layout][form] = messages;
      for (uint32_t i = 0; i < own->own->batches; i++)
        if (messages == NULL || make_batch(own, (enum layout)layout, (enum raw_form)form, i, &messages[i]) != 0)
          return 1;
    }
  }
  return 0;
}

static ssize_t send_lone(const raw_sender *own, const struct iovec *piece) {
  return own->group_length == 0 ? send(own->descriptor, piece->iov_base, piece->iov_len, FLAGS)
                                : sendto(own->descriptor, piece->iov_base, piece->iov_len, FLAGS,
                                         (const struct sockaddr *)&own->group, own->group_length);
}

uint32_t raw_send_one_by_one(raw_sender *own, enum layout layout, uint32_t batch) {
  const struct iovec *pieces = own->own->pieces[layout] + (size_t)batch * own->own->batch;
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->own->batch; i++)
    failed += send_lone(own, &pieces[i]) != (ssize_t)pieces[i].iov_len;
  return failed;
}

/* Copies the datagrams of a superpacket to where its message has them. */
static void copy_message(const struct msghdr *header, const struct iovec *pieces, uint32_t count) {
  unsigned char *to = header->msg_iov->iov_base;
  for (uint32_t i = 0; i < count; i++) {
    memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
    to += pieces[i].iov_len;
  }
}

uint32_t raw_send_each(raw_sender *own, enum layout layout, enum raw_form form, uint32_t batch) {
  const raw_messages *messages = &own->messages[layout][form][batch];
  const struct iovec *pieces = own->own->pieces[layout] + (size_t)batch * own->own->batch;
  uint32_t failed = 0;
  for (uint32_t i = 0; i < messages->count; i++) {
    const struct msghdr *header = &messages->headers[i].msg_hdr;
    if (messages->datagrams[i] == 1) {
      failed += send_lone(own, pieces) < 0;
    } else {
      if (form == COPIED) copy_message(header, pieces, messages->datagrams[i]);
      failed += sendmsg(own->descriptor, header, FLAGS) < 0;
    }
    pieces += messages->datagrams[i];
  }
  return failed;
}

uint32_t raw_send_together(raw_sender *own, enum layout layout, enum raw_form form, uint32_t batch) {
  raw_messages *messages = &own->messages[layout][form][batch];
  const struct iovec *pieces = own->own->pieces[layout] + (size_t)batch * own->own->batch;
  for (uint32_t i = 0; i < messages->count && form == COPIED; i++) {
    if (messages->datagrams[i] > 1) copy_message(&messages->headers[i].msg_hdr, pieces, messages->datagrams[i]);
    pieces += messages->datagrams[i];
  }
  return sendmmsg(own->descriptor, messages->headers, messages->count, FLAGS) != (int)messages->count;
}

static superpacket join_slices(const mctx_slice *slices, uint32_t count) {
  superpacket made = {.count = 1, .size = (uint32_t)slices[0].length, .bytes = slices[0].length};
  while (made.count < count && made.count < SEGMENTS_MAX && slices[made.count].length <= made.size &&
         made.bytes + slices[made.count].length <= SUPERPACKET_MAX) {
    made.bytes += slices[made.count].length;
    if (slices[made.count++].length < made.size) break;
  }
  return made;
}

static const void *lay_together(const mctx_slice *slices, uint32_t count, unsigned char *copy) {
  uint32_t i = 1;
  while (i < count && slices[i].data == (const unsigned char *)slices[i - 1].data + slices[i - 1].length)
    i++;
  if (i == count) return slices[0].data;
  unsigned char *to = copy;
  for (i = 0; i < count; i++) {
    memcpy(to, slices[i].data, slices[i].length);
    to += slices[i].length;
  }
  return copy;
}

static uint32_t send_superpacket(const raw_sender *own, const void *data, superpacket what) {
  union {
    struct cmsghdr header;
    unsigned char room[CONTROL];
  } control = {.header = {.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(2)}};
  const uint16_t segment = (uint16_t)what.size;
  struct iovec vector = {(void *)(uintptr_t)data, what.bytes};
  struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
  if (own->group_length != 0) {
    header.msg_name = (void *)(uintptr_t)&own->group;
    header.msg_namelen = own->group_length;
  }
  if (what.count > 1) {
    memcpy(CMSG_DATA(&control.header), &segment, sizeof segment);
    header.msg_control = &control;
    header.msg_controllen = sizeof control;
  }
  return sendmsg(own->descriptor, &header, FLAGS) < 0;
}

uint32_t raw_send_from_slices(raw_sender *own, enum layout layout, uint32_t batch) {
  const mctx_slice *slices = own->own->slices[layout] + (size_t)batch * own->own->batch;
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->own->batch;) {
    const superpacket made = join_slices(slices + i, own->own->batch - i);
    failed += send_superpacket(own, lay_together(slices + i, made.count, own->copy), made);
    i += made.count;
  }
  return failed;
}
