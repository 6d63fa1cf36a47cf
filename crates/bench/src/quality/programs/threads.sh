# 64 threads, one of which executes the program again, until it has been executed often enough.
main() {
  case $1 in
  held) exec "$GUESTS/threads" 4 ;;
  *) exec "$GUESTS/threads" 2 ;;
  esac
}
