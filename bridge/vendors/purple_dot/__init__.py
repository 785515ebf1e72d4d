"""The destination: its orders as it words them (`payloads`), and the four calls we make
(`client`)."""
