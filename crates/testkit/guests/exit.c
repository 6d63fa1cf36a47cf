/* exit CODE: ends with CODE. Proves that every status comes through, those that mean something to us included. */
#include <stdlib.h>
int main(int argc, char **argv) { return argc > 1 ? atoi(argv[1]) : 0; }
