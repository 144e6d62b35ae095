import { Command } from 'commander';

export const command = new Command('serve')
  .description('start the service; its settings are environment variables (see "onespace settings")')
  .action(async () => {
    await import('../main.js');
  });
