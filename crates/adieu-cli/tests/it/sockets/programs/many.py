"""Listens on every port of the command line, and answers on each.

usage: many.py PORT...
"""
import sys

import answers

answers.serve(*[answers.listening(port=int(port)) for port in sys.argv[1:]])
