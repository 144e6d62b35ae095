export { random as randomFrom } from '../bench/random.mjs';
