// Structures of several networks on one scale.

const widest = Math.max(...data.compared.flatMap(({ blocks }) => blocks.map((block) => block[3])));
data.compared.forEach((structures, number) => drawStructure(place(`structure${number}`), structures, 0, widest));
