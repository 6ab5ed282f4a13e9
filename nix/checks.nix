{ pkgs, python, stack, source }: { }
