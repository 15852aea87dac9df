"""How a generated card is drawn: the sheet, fonts, signs, photos, and the damage that a camera does."""
