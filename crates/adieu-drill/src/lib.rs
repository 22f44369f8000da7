//! Loads a server, restarts it again and again, and says what each restart lost.
