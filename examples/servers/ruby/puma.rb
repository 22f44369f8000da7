# frozen_string_literal: true

bind "tcp://127.0.0.1:#{ENV.fetch('PORT')}"
workers 2
threads 8, 8
