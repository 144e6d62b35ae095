/** Files small enough to stand in an example: a red square, and one that turns from red to blue. */
export const RED_SQUARE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAMAAAAoLQ9TAAAAA1BMVEX/AAAZ4gk3AAAACXBIWXMAAAPoAAAD6AG1e1JrAAAADUlEQVQY02NgGAXIAAABEAAB7JfjegAAAABJRU5ErkJggg==';
export const RED_TO_BLUE =
  'data:image/gif;base64,R0lGODlhEAAQAIAAAExpcf8AACH/C05FVFNDQVBFMi4wAwEAAAAh+QQFMgAAACwAAAAAEAAQAAACDoyPqcvtD6OctNqLsz4FACH5BAUyAAAALAAAAAAQABAAgExpcQAA/wIOjI+py+0Po5y02ouzPgUAOw==';
