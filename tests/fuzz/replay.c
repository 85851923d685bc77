/* Runs a fuzz target over its corpus without libFuzzer: each file once, and each of its prefixes.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return -1;
    static uint8_t bytes[1 << 20];
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    size_t step = n < 4096 ? 1 : n / 1024;
    for (size_t cut = 0; cut < n; cut += step) {
        uint8_t *exact = malloc(cut + 1); /* so that ASan sees a read behind the end */
        if (exact == NULL)
            return -1;
        for (size_t i = 0; i < cut; i++)
            exact[i] = bytes[i];
        (void)LLVMFuzzerTestOneInput(exact, cut);
        free(exact);
    }
    (void)LLVMFuzzerTestOneInput(bytes, n);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (d == NULL) {
            perror(argv[i]);
            return 1;
        }
        const struct dirent *e;
        while ((e = readdir(d)) != NULL) {
            char path[4096];
            (void)snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.' && replay(path) == 0)
                files++;
        }
        (void)closedir(d);
    }
    printf("%u corpus files replayed\n", files);
    return files > 0 ? 0 : 1;
}
