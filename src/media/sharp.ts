/**
 * sharp, set up for a service that decodes strangers' files. These settings hold for the whole
 * process, so everything in it that uses sharp gets it from here.
 */
import sharp from 'sharp';

/** One thread an image: many images at once fill the cores better than one image cut up. */
sharp.concurrency(1);
/** Every upload is another picture: remembering operations would only keep its memory. */
sharp.cache(false);
/** What the content looks like decides nothing: only the loaders of the allow-list can be reached (no SVG). */
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map((loader) => `VipsForeignLoad${loader}`),
});

export { sharp };
