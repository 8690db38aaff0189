// SPDX-License-Identifier: GPL-2.0

#include <linux/io.h>

#ifdef CONFIG_HAS_IOPORT

__rust_helper void rust_helper_outw(u16 value, u16 port)
{
	outw(value, port);
}

__rust_helper void rust_helper_insb(u16 port, void *to, unsigned int count)
{
	insb(port, to, count);
}

#endif
