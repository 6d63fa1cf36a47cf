# A 32-bit program: its numbers are another table's, write is 4 and not 1.
main() {
  case $1 in
  held) "$GUESTS/i386"; exec "$GUESTS/i386" ;;
  *) exec "$GUESTS/i386" ;;
  esac
}
