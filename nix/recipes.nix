# The default corpus of the recipes example: one data file of GNOME Recipes, in both sets the same store
# path. The program is a desktop one, refers to all of GTK, and nixpkgs has taken it away.
{ pkgs }:
rec {
  version = "2.0.4";
  sha256 = "773c39e4d07b1558771ade7bfed7d12260b40a88d98458c736edf5160fb66edc";
  license = "GPL-3.0-or-later";

  file = pkgs.fetchurl {
    name = "recipes.db";
    url = "https://github.com/GNOME/recipes/raw/${version}/data/recipes.db";
    inherit sha256;
  };
}
