// Draws the figures of a study.

data.figures.forEach((figure, number) => whenSeen(`figure${number}`, () => draw(`figure${number}`, figure)));
