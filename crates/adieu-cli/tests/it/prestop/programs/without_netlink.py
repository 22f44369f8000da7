"""Executes a command for which socket(AF_NETLINK) fails with EPERM, as under a strict seccomp profile."""
import ctypes, os, struct, sys

AF_NETLINK, EPERM = 16, 1
SOCKET = {'x86_64': 41, 'aarch64': 198}[os.uname().machine]
instruction = struct.Struct('HBBI')
program = b''.join([
    instruction.pack(0x20, 0, 0, 0),                # the system call
    instruction.pack(0x15, 0, 3, SOCKET),
    instruction.pack(0x20, 0, 0, 16),               # its first argument
    instruction.pack(0x15, 0, 1, AF_NETLINK),
    instruction.pack(0x06, 0, 0, 0x00050000 | EPERM),
    instruction.pack(0x06, 0, 0, 0x7FFF0000),
])
held = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(program) // 8, ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0              # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.byref(filter)) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execv(sys.argv[1], sys.argv[1:])
