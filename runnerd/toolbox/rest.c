#include "toolbox/rest.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { QUIET_MS = 1000 };

static uv_prepare_t turn;
static uv_timer_t quiet;
static unsigned turns; /* of the loop, with that in which the timer was started */
static bool resting;

/* Only what nobody writes to can be read again from the program. */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *ctx)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    (void)ctx;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(page - 1);
        uintptr_t end = (info->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(page - 1);
        if (h->p_type == PT_LOAD && (h->p_flags & PF_W) == 0 && end > from)
            (void)madvise((void *)from, end - from, MADV_DONTNEED);
    }
    return 0;
}

static void on_quiet(uv_timer_t *t)
{
    resting = turns <= 1;
    turns = 0;
    if (!resting) {
        (void)uv_timer_start(t, on_quiet, QUIET_MS, 0);
        return;
    }
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(drop_segments, NULL);
}

static void on_turn(uv_prepare_t *p)
{
    (void)p;
    if (resting) { /* back from on_quiet() */
        resting = false;
        return;
    }
    turns++;
    if (!uv_is_active((uv_handle_t *)&quiet))
        (void)uv_timer_start(&quiet, on_quiet, QUIET_MS, 0);
}

void dt_rest_init(uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &quiet);
    uv_unref((uv_handle_t *)&quiet);
    (void)uv_prepare_init(loop, &turn);
    (void)uv_prepare_start(&turn, on_turn);
    uv_unref((uv_handle_t *)&turn);
}
