"""Stands in for the ESP32's module: two heap regions that never change."""

HEAP_DATA = 4
HEAP_EXEC = 1


def idf_heap_info(capabilities):
    if capabilities == HEAP_EXEC:
        return [(15072, 13532, 13312, 13500)]
    return [(15072, 13532, 13312, 13500), (113840, 61000, 55296, 42000)]
