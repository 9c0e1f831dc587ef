// Draws the figures of a study, and anew when the theme changes.

const repaint = () => data.figures.forEach((figure, number) => draw(`figure${number}`, figure));
repaint();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
