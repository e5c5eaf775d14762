"""`python -m seatrial.command`: the command where its script is not on PATH."""

from seatrial.command import main

main()
