/* SPDX-License-Identifier: MIT */
/* What the tests of one subscription share; each opens it, in a context of its own, and closes the context. */
#ifndef MCTX_TESTS_SIM_SUBSCRIPTION_H
#define MCTX_TESTS_SIM_SUBSCRIPTION_H

#include "sim_receive.h"

static mctx_context context;
static mctx_subscription subscription;

static inline void open_with_options(const mctx_subscription_options *options) {
  context = open_context();
  subscription = subscribe_with(context, options);
}

static inline void open_plain(void) {
  const mctx_subscription_options options = subscription_options();
  open_with_options(&options);
}

/* With 239.1.1.1 joined on eth0. */
static inline void open_joined_with(const mctx_subscription_options *options) {
  open_with_options(options);
  join(subscription, "239.1.1.1", "eth0");
}

static inline void open_joined(void) {
  const mctx_subscription_options options = subscription_options();
  open_joined_with(&options);
}

#endif
