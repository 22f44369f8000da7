"""Becomes somebody else before it listens, and answers.

usage: becomes.py [user=UID] [undumpable] [later=UID]
       (undumpable: as a program with file capabilities is, or one with secrets; later: after it listens)
"""
import ctypes
import os
import sys

import answers

PR_SET_DUMPABLE = 4



def become(user):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


words = dict(word.partition("=")[::2] for word in sys.argv[1:])
if "user" in words:
    become(int(words["user"]))
if "undumpable" in words:
    assert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
listener = answers.listening()
if "later" in words:
    become(int(words["later"]))
answers.serve(listener)
