// glibc's own knobs of malloc (man 3 mallopt), which Swift's Glibc module leaves out.
#pragma once
#include <malloc.h>
