"""The Genes dock: one gene after another, predicted beside measured."""
