#include <fcntl.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    pid_t child = fork();
    if (child == 0)
        for (;;) pause();
    ptrace(PTRACE_ATTACH, child, NULL, NULL);
    waitpid(child, NULL, 0);
    FILE *target = fopen("target", "w");
    fprintf(target, "%d", child);
    fclose(target);
    close(creat("ready", 0644));
    for (;;) pause();
}
