/* What the machine gives: memory, cores, descriptors. */
#pragma once

#include "node/config.h"

/* Memory is the machine's or the control group's limit, whichever is smaller; cores are those this
 * process may run on. */
struct config_machine machine_probe(void);

/* Raises the soft limit of open files to `wanted` if the hard one allows it; what there is now. */
unsigned machine_raise_files(unsigned wanted);

/* Changes with every boot of the operating system; "" unknown. */
void machine_boot_id(char *out, size_t bytes);
