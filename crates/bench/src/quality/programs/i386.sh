# A 32-bit program: its numbers are another table's, write is 4 and not 1.
main() {
  case $1 in
  2) "$GUESTS/i386"; "$GUESTS/i386" ;;
  held) "$GUESTS/i386"; "$GUESTS/i386"; "$GUESTS/i386"; exec "$GUESTS/i386" ;;
  *) exec "$GUESTS/i386" ;;
  esac
}
